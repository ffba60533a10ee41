/* Keys of limits that every session knows; see shm/keys.py. */

#ifndef MAILWORKER_CLIENT_H
#define MAILWORKER_CLIENT_H

#include "shm.h"

#define ADDRESS_SIZE 16 /* bytes, of IPv6 */
#define MAPPED_SIZE 12

/* Numbers of keys. */
enum { KEY_GIVEN, KEY_ADDRESS, KEY_PREFIX, KEY_TEXT, KEY_USER };

struct client {
    const char *text; /* the address without a port, or "unix:" */
    size_t length;
    int is_unix;
    size_t size;              /* bytes of the address; 0 for a unix socket */
    unsigned char address[ADDRESS_SIZE];
};

/* What an IPv4-mapped IPv6 address begins with. */
extern const unsigned char mapped[MAPPED_SIZE];

/* The bytes of a key, in the client's struct, the login or the key that was given, which have to stay. */
struct key {
    const void *text;
    size_t length;
};

/* Reads an address or "unix:"; `address` stays as the text spells it. 0 with an exception where it is no address. */
int client_read(PyObject *text, struct client *client);

/* Turns an IPv4-mapped IPv6 address into the IPv4 address. */
void client_unmap(struct client *client);

/* Sets all bits after a prefix to 0; gives its length in bytes. `lengths` are the prefix lengths of IPv4 and IPv6. */
size_t client_cut(struct client *client, const int lengths[2]);

/* The key of a user, see user_key() in shm/keys.py, which rare names need: a new reference, mostly to `login`. */
PyObject *user_key(PyObject *login);

/* The value of any key but KEY_GIVEN, perhaps written to `room` of ADDRESS_SIZE; `user` is what user_key() gives. */
struct key client_key(const struct client *client, int number, PyObject *user, const int lengths[2],
                      unsigned char *room);

/* Takes the next one of the keys that the caller gives, a tuple or NULL; an empty key where there is none left. */
int take_given(PyObject *given, Py_ssize_t *next, struct key *key);

int take_lengths(PyObject *argument, int lengths[2]);

#endif
