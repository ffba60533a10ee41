/* The fields of a lobby, and what it does with a guest; see lobby.c and guest.c. */

#ifndef MAILWORKER_LOBBY_H
#define MAILWORKER_LOBBY_H

#include "core.h"
#include "shm.h"

struct lobby {
    PyObject_HEAD
    PyObject *connections;
    PyObject *party;
    PyObject *steps; /* of the only exchange of each guest */
    PyObject *limit;
    double timeout;
    PyObject *left;
    PyObject *noticed;
    PyObject *full;
    PyObject *checks;  /* a tuple */
    PyObject *stopped;
    PyObject *forgotten; /* or None */
    PyObject *guests; /* a set */
    struct rows *rows; /* NULL: there is no session table */
    uint16_t server;   /* its number there */

    /* For a handshake before the greeting; without one these are NULL. */
    PyObject *context;
    void *native; /* its SSL_CTX */
    PyObject *shaken; /* called after the handshake, or None */
};

int guest_greet(struct guest *guest);

/* Goes on with the handshake and the exchange: waits, or leaves. */
int guest_go_on(struct guest *guest);

/* After a bug: forgets the guest, and closes its connection; the exception stays raised. Gives `fine`. */
int guest_unless_bug(struct guest *guest, int fine);

#endif
