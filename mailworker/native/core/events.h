/* What a descriptor is watched for, in selectors' numbers. */

#define READ 1
#define WRITE 2
