/*
 * Transports read and write bytes: plain.c has the one for sockets without TLS, tls/openssl.c that for TLS. Streams and
 * relays use only this table of either. The steps never wait; events.h has their results. `connection` is the SSL, NULL
 * without TLS.
 */

#ifndef MAILWORKER_TRANSPORT_H
#define MAILWORKER_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

#include "events.h"

/* The result of a handshake; the connection owns the texts. */
struct agreement {
    const char *protocol;
    const char *cipher;
    const char *server_name; /* the SNI as the client has sent it, NULL for none */
};

struct transport {
    const char *reading; /* the names of the calls, as nginx logs their failures */
    const char *writing;
    ssize_t (*read)(int fd, void *connection, void *page, size_t limit);
    ssize_t (*write)(int fd, void *connection, const void *data, size_t length, int more); /* `more`: see push */
    int (*has_input)(void *connection); /* whether there are bytes that no poller sees; they need not be data */
    int (*is_drained)(void *connection); /* whether a short read has taken all there was */
    int (*say_goodbye)(void *connection); /* close_notify, before FIN: 1 once it is sent, 0: the peer is gone */
    void (*push)(int fd); /* sends partial segments that were held back after a write with `more` */

    /* Only for TLS: */
    void *(*begin)(void *context, int fd); /* makes a connection of an SSL_CTX, NULL without memory */
    int (*shake_hands)(void *connection, int more); /* see connection_handshake() of tls/openssl.c */
    void (*describe)(const void *connection, struct agreement *agreement);
    void (*end)(void *connection); /* frees it */
};

/* A connection, for the duration of a step. */
struct channel {
    const struct transport *transport;
    void *connection;
    int fd;
};

extern const struct transport plain_transport;

#endif
