/* What a descriptor is watched for, in the numbers of selectors. A step that has to wait gives -READ or -WRITE. */

#define READ 1
#define WRITE 2
