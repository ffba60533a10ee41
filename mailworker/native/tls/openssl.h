/* native.h for C: with the types that it names, and the Python functions that C calls. */

#ifndef MAILWORKER_OPENSSL_H
#define MAILWORKER_OPENSSL_H

#include <stdint.h>
#include <sys/types.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "transport.h"

#include "native.h"

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#define ERR_peek_error_data(data, flags) ERR_peek_error_line_data(NULL, NULL, data, flags)
#endif

/* resumption.c: the info callback of an SSL_CTX. */
void bound_lifetime(const SSL *connection, int where, int result);

/*
 * hello.c: a client's first message, and the choice that was made by it. `name` stays as long as the connection does,
 * the rest as long as its handshake.
 */
struct hello {
    char *name;
    int name_length; /* -1: none */
    int heard; /* whether a ClientHello was read already */
    struct choice *choice; /* NULL where there is nothing to choose */
};

int take_hello(SSL *connection, int *alert, void *arg);
int hello_begin(struct hello *hello, int chooses);
int hello_record(struct hello *hello, const char *data, int length); /* 0: no memory */
int hello_replay(struct hello *hello, char *page, int limit); /* 0: all was read again */
void hello_end(struct hello *hello); /* call it after the handshake */
void hello_free(struct hello *hello);

/* link.c: the BIO between a connection and its socket. */
struct link {
    struct arrivals *arrivals; /* NULL: none */
    int fd;
    unsigned char holding; /* whether bytes are only sent by link_flush, or by a later write without it */
    unsigned char drained; /* whether the last read took all that the socket had */
    unsigned char more; /* whether the step writes more than this record: the kernel need not send partial segments */
    unsigned char crowded; /* whether the last data came in many records */
    int left; /* bytes that this step may still read; 0 or less after its last read */
    int barren; /* bytes read since the last data, or since the handshake began */
    int barren_limit;
    size_t length; /* of the bytes that are held back */
    unsigned char *held;
    struct hello hello;
    int is_over; /* whether the next read gives `end`, which came after data: 0, IO_SYSTEM or IO_TLS */
    int end;
    int system_error;
    unsigned long error; /* the first of OpenSSL's queue, and its data */
    char *detail;
};

int link_set(SSL *connection, int fd, int chooses);
struct link *link_of(const SSL *connection);
int link_flush(struct link *link); /* sends what is held: 1 once all is, -WRITE or IO_SYSTEM */

/*
 * A step may read a bounded number of bytes. 0, with a reason in OpenSSL's queue: too many bytes brought no data, and
 * the connection is over. link_note_data: there was data, in so many records, or the handshake is done.
 */
int link_begin_step(const SSL *connection);
void link_note_data(struct link *link, int records);

/* Keeps an end or a failure that came after data, which is given first: the next read gives it, if there is one. */
void link_keep_end(struct link *link, int end);
int link_take_end(struct link *link, int *end);

extern const struct transport tls_transport;

/* Defined in ticket_keys.py: brings the policy's keys up to date. */
extern void refresh_ticket_keys(void *ticket_keys);

#endif
