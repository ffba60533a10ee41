/* The rules by which attempts to log in are counted, and an attempt; see attempts.c and attempt.c. */

#ifndef MAILWORKER_ATTEMPTS_H
#define MAILWORKER_ATTEMPTS_H

#include "client.h"
#include "limit_table.h"

#define NONE (-1)

struct rule {
    struct limit_table *table;
    int number; /* of its key */
    int bans, counts_all, trusts;
    long long burst, delay;
    unsigned long long gain, period;
    uint64_t dropped; /* the table's count when it was last read */
};

struct attempts {
    PyObject_HEAD
    PyObject *given; /* a tuple of tuples, which own the tables of the rules */
    struct rule *rules;
    Py_ssize_t count;
    Py_ssize_t penalised;
    PyObject *penalties;
    struct loop *loop;
    int lengths[2];
    PyObject *exempt; /* networks, see exempt.c */
    PyTypeObject *kind; /* of attempts */
};

/* A key by which an attempt is counted. */
struct counted_key {
    struct limit_key key; /* of length 0: it is not counted */
    unsigned char room[ADDRESS_SIZE];
    int taken;
};

struct attempt {
    PyObject_VAR_HEAD struct attempts *all;
    PyObject *text, *user, *given; /* the keys point into these, `text` is the client's address */
    struct client client;
    double asked, wait;
    Py_ssize_t over, full;
    long long excess;
    long level; /* of the penalty, before the attempt has waited */
    int plain;  /* there is nothing to wait for, and nothing to log */
    struct counted_key keys[];
};

/* attempts.c */
int attempts_keys(PyObject *const *arguments, Py_ssize_t given, Py_ssize_t least, PyObject **keys); /* optional ones */

/* exempt.c */
int take_exempt(PyObject *networks); /* whether they are bytes that is_exempt() can search; else with an exception */
int is_exempt(PyObject *networks, const struct client *client);

/* attempt.c: the method of Attempts. */
PyObject *attempts_enter(PyObject *object, PyObject *const *arguments, Py_ssize_t given);

/* trust.c: of clients that have logged in before. */
int is_trusted(const struct attempt *self, Py_ssize_t place, uint64_t now, int *trusted);
int set_trust(const struct attempt *self, Py_ssize_t place, uint64_t now);

#endif
