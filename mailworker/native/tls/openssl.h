/* native.h for C: with the types that it names, and the functions of Python that C calls. */

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

/* resumption.c: what an SSL_CTX tells about the progress of a handshake. */
void bound_lifetime(const SSL *connection, int where, int result);

/*
 * hello.c: what a client said first, and what was chosen by that. `name` stays as long as the connection does, the rest
 * as long as its handshake.
 */
struct hello {
    unsigned char *name;
    int name_length; /* -1: none */
    int heard; /* whether there was one already */
    struct choice *choice; /* NULL where there is nothing to choose */
};

int take_hello(SSL *connection, int *alert, void *arg);
int hello_begin(struct hello *hello, int chooses);
int hello_record(struct hello *hello, const char *data, int length); /* 0: no memory */
int hello_replay(struct hello *hello, char *page, int limit); /* 0: nothing is left to be read again */
void hello_end(struct hello *hello); /* the handshake is done */
void hello_free(struct hello *hello);

/* link.c: `holding` keeps what is written from being sent before link_flush, or a write without it: 1 once all is. */
int link_set(SSL *connection, int fd, int chooses);
struct hello *link_hello(const SSL *connection);
int link_drained(const SSL *connection); /* whether the last read took all that the socket had */
void link_hold(const SSL *connection, int holding);
int link_flush(const SSL *connection);
void link_more(const SSL *connection, int more); /* whether what is written next is soon followed by more */

/*
 * A step may read a bounded number of bytes. 0, with a reason in OpenSSL's queue: there were too many that brought no
 * data, the connection is over. link_note_data: there was some, or the handshake is done.
 */
int link_begin_step(const SSL *connection);
void link_note_data(const SSL *connection);

/* An end or a failure that came behind data, which are handed out first: the next read comes to it, if there is one. */
void link_keep_end(const SSL *connection, int end);
int link_take_end(const SSL *connection, int *end);
int link_is_over(const SSL *connection); /* whether there is one */

extern const struct transport tls_transport;

/* Written in ticket_keys.py: brings the policy's keys up to date. */
extern void refresh_ticket_keys(void *ticket_keys);

#endif
