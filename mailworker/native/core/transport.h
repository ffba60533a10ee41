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

struct ssl_st; /* OpenSSL's SSL and SSL_CTX */
struct ssl_ctx_st;

struct transport {
    const char *reading; /* the names of the calls, as nginx logs their failures */
    const char *writing;
    ssize_t (*read)(int fd, struct ssl_st *connection, void *page, size_t limit);
    ssize_t (*write)(int fd, struct ssl_st *connection, const void *data, size_t length, int more); /* see push */
    int (*has_input)(
        struct ssl_st *connection); /* whether there are bytes that no poller sees; they need not be data */
    int (*is_drained)(struct ssl_st *connection); /* whether a short read has taken all there was */
    int (*say_goodbye)(
        struct ssl_st *connection); /* close_notify, before FIN: 1 once it is sent, 0: the peer is gone */
    void (*push)(int fd); /* sends partial segments that were held back after a write with `more` */

    /* Only for TLS: */
    struct ssl_st *(*begin)(struct ssl_ctx_st *context, int fd, int chooses); /* NULL without memory; see native.h */
    int (*shake_hands)(struct ssl_st *connection, int more); /* see connection_handshake() of tls/openssl.c */
    void (*describe)(const struct ssl_st *connection, struct agreement *agreement);
    void (*end)(struct ssl_st *connection); /* frees it */
};

/* A connection, for the duration of a step. */
struct channel {
    const struct transport *transport;
    void *connection;
    int fd;
};

extern const struct transport plain_transport;

#endif
