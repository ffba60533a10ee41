/*
 * How bytes come and go: plain.c has it for a bare socket, tls/openssl.c for TLS. Streams and relays know no more of
 * either than this table. The steps never wait; events.h says what they come to. `connection` is the SSL, NULL where it
 * is plain.
 */

#ifndef MAILWORKER_TRANSPORT_H
#define MAILWORKER_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

#include "events.h"

/* What a handshake has come to; the texts are the connection's. */
struct agreement {
    const char *protocol;
    const char *cipher;
    const char *server_name; /* as the client has sent it, NULL where it has sent none */
};

struct transport {
    const char *reading; /* the call's name where it fails, as nginx logs it */
    const char *writing;
    ssize_t (*read)(int fd, void *connection, void *page, size_t limit);
    ssize_t (*write)(int fd, void *connection, const void *data, size_t length, int more); /* `more`: see push */
    int (*has_input)(void *connection); /* bytes that no selector sees; they need not be data */
    int (*is_drained)(void *connection); /* whether a read that came short took all there was */
    int (*say_goodbye)(void *connection); /* before the FIN: 1 once that is sent, 0 where the peer is gone */
    void (*push)(int fd); /* sends what was written with `more`, of which parts of segments may wait for more */

    /* Of TLS alone: */
    void *(*begin)(void *context, int fd); /* a connection of an SSL_CTX, NULL without memory */
    int (*shake_hands)(void *connection, int more); /* see connection_handshake() of tls/openssl.c */
    void (*describe)(const void *connection, struct agreement *agreement);
    void (*end)(void *connection); /* gives its memory back */
};

/* One end of a connection, for as long as a step takes. */
struct channel {
    const struct transport *transport;
    void *connection;
    int fd;
};

extern const struct transport plain_transport;

#endif
