/* Tables in shared memory, and counters. */

#ifndef MAILWORKER_SHM_H
#define MAILWORKER_SHM_H

#include "core.h"

/* tally.c */

extern PyTypeObject session_tally_type;

int prepare_tallies(void);
int tally_end(PyObject *tally, PyObject *session); /* SessionTally.end() */

/* limits.c */

extern PyTypeObject limits_type;

struct limit_table *limits_table(PyObject *limits);

/* attempts.c, attempt.c */

extern PyTypeObject attempt_type, attempts_type;

/* Attempts.passes(): whether the client is not banned; -1 with an exception. */
int attempts_pass(PyObject *attempts, PyObject *client, double now);

/* gate.c */

extern PyTypeObject holdings_type, gate_type;

/* Gate.passes(): whether the connection with this number is counted; -1 with an exception. */
int gate_passes(PyObject *gate, PyObject *client, PyObject *number);

/* conns.c */
extern PyTypeObject conns_type;

/* Counts one more connection of a key: gives its place in the journal, or one of these. */
#define CONNS_OVER (-1)
#define CONNS_FULL (-2)
Py_ssize_t conns_hold(PyObject *conns, const void *key, size_t length, uint64_t most);
void conns_let_go(PyObject *conns, size_t place); /* does nothing for a place without a connection */

/* rows.c */

struct rows;

extern PyTypeObject rows_type;

#define NO_ROW (-1)

/* Begins a row for `owner` as open() does; gives the row, NO_ROW where all are taken or with an exception. */
Py_ssize_t rows_begin(struct rows *rows, PyObject *owner, long long number, double accepted, uint16_t server,
                      PyObject *client);

/* Whether the row has an owner. */
int rows_has(const struct rows *rows, Py_ssize_t number);
int rows_owned(const struct rows *rows, Py_ssize_t number, const PyObject *owner);

/* Rows.close(). */
int rows_end(struct rows *rows, Py_ssize_t number);

/* See Rows.relay() and Rows.note(); for a row that has an owner. */
void rows_relay(struct rows *rows, Py_ssize_t number, double now);
void rows_note(struct rows *rows, Py_ssize_t number, uint64_t received, uint64_t sent, double now);

/* client.c */
extern PyMethodDef client_functions[];

#endif
