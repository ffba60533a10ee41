/*
 * What a descriptor is watched for, in the numbers of selectors, and what a step that never waits comes to: a number of
 * bytes, 0 at the end of what the peer sends, -READ or -WRITE where it would have to wait, or one of io_result. cffi
 * reads this text as well, so it holds declarations only.
 */

#define READ 1
#define WRITE 2

enum io_result {
    IO_SYSTEM = -3, /* errno tells more */
    IO_TLS = -4, /* OpenSSL's error queue tells more */
    IO_HELLO = -5 /* of handshakes alone: the client has said what it wants, see tls/hello.c */
};
