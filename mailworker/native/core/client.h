/* By what clients are counted that every session knows; see shm/keys.py. */

#ifndef MAILWORKER_CLIENT_H
#define MAILWORKER_CLIENT_H

#include "core.h"

/* Numbers of keys. */
enum { KEY_GIVEN, KEY_ADDRESS, KEY_PREFIX, KEY_TEXT, KEY_USER };

struct client {
    const char *text; /* the address without a port, or "unix:" */
    size_t length;
    int is_unix;
    size_t size;              /* of the address in bytes; 0 for a unix socket */
    unsigned char address[16];
};

/* Where a key's bytes are: of the client, which has to stay, or of a login or what was given. */
struct key {
    const void *text;
    size_t length;
};

/* Reads what the text says; `address` stays what the text spells. 0 with an exception where it is no address. */
int client_read(PyObject *text, struct client *client);

/* Of an IPv6 address that is mapped from IPv4, that. */
void client_unmap(struct client *client);

/* Sets all bits behind those of a prefix to 0; gives its length in bytes. `lengths` are of IPv4 and IPv6. */
size_t client_cut(struct client *client, const int lengths[2]);

/* The value of a key that is not given, which may lie in `room` of 16 bytes. */
struct key client_key(const struct client *client, int number, PyObject *login, const int lengths[2],
                      unsigned char *room);

int take_lengths(PyObject *argument, int lengths[2]);

#endif
