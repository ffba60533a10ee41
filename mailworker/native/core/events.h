/*
 * The events for which descriptors are watched, with the numbers of Python's selectors, and the results of non-blocking
 * steps: a number of bytes, 0 at the end of what the peer sends, -READ or -WRITE where the step would block, or one of
 * io_result. cffi reads this text as well, so it holds declarations only.
 */

#define READ 1
#define WRITE 2

enum io_result {
    IO_SYSTEM = -3, /* see errno */
    IO_TLS = -4, /* see OpenSSL's error queue */
    IO_HELLO = -5 /* only of handshakes: the ClientHello was read, see tls/hello.c */
};
