/*
 * The beginnings and ends of sessions, which their records note: methods for a class that Python defines, see
 * mail/record.py. Rare events are left to methods in Python.
 */

#include "path.h"
#include "record.h"
#include "relay.h"
#include "shm.h"

/* Fields of records, and paths to what sessions have in common. */
#define FIELDS(FIELD)                                                                                                  \
    FIELD(accepted)                                                                                                    \
    FIELD(client)                                                                                                      \
    FIELD(client_bytes)                                                                                                \
    FIELD(number)                                                                                                      \
    FIELD(reason)

#define WAYS(WAY)                                                                                                      \
    WAY(client_bytes, "client_bytes")                                                                                  \
    WAY(counted, "entrance.server.counted")                                                                            \
    WAY(ended, "reason")                                                                                               \
    WAY(listeners, "entrance.sessions.listeners")                                                                      \
    WAY(live, "entrance.sessions.live")                                                                                \
    WAY(rows, "entrance.server.rows")

#define WORDS(WORD)                                                                                                    \
    WORD(_leave_row)                                                                                                   \
    WORD(bug)                                                                                                          \
    WORD(end)

ATTRIBUTES;

int prepare_records(void)
{
    return MAKE_ATTRIBUTES;
}

PyObject *record_begun(PyObject *pattern, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *record, *live, *peer;
    int fine;

    if (!counted(given, 4) || (record = copied(NULL, pattern)) == NULL) {
        return NULL;
    }
    peer = arguments[1];
    live = path_follow(&ways.live, record);
    fine = live != NULL && step_set(record, &fields.number, arguments[0]) &&
           step_set(record, &fields.client, has_port(peer) ? PyTuple_GET_ITEM(peer, 0) : names.no_address) &&
           step_set(record, &fields.accepted, arguments[2]) && step_set(record, &fields.client_bytes, arguments[3]) &&
           PyObject_SetItem(live, record, Py_None) == 0;
    Py_XDECREF(live);
    if (!fine) {
        Py_CLEAR(record);
    }
    return record;
}

int record_pass_on(PyObject *self, PyObject *method)
{
    PyObject *error;
    int fine;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return 0;
    }
    error = take_exception();
    fine = done(PyObject_CallMethodOneArg(self, method, error));
    Py_DECREF(error);
    return fine;
}

/* Calls the listeners for the end of sessions; an exception of one is a bug. */
static int tell_listeners(PyObject *self)
{
    PyObject *listeners = path_follow(&ways.listeners, self);
    Py_ssize_t i;
    int fine = listeners != NULL;

    for (i = 0; fine && i < PyTuple_GET_SIZE(listeners); i++) {
        fine = done(PyObject_CallOneArg(PyTuple_GET_ITEM(listeners, i), self)) || record_pass_on(self, words.bug);
    }
    Py_XDECREF(listeners);
    return fine;
}

/* Frees the session's row, which its connection with the client knows; the method in Python takes any objects. */
static int leave_row(PyObject *self, PyObject *rows)
{
    PyObject *client = path_follow(&ways.client_bytes, self);
    int fine = client != NULL;

    if (fine && PyObject_TypeCheck(rows, &rows_type) && PyObject_TypeCheck(client, &stream_type)) {
        fine = rows_end((struct rows *) rows, ((struct stream *) client)->row);
    } else if (fine && PyObject_TypeCheck(rows, &rows_type) && PyObject_TypeCheck(client, &listed_type)) {
        fine = rows_end((struct rows *) rows, side_row(client));
    } else {
        fine = fine && done(PyObject_CallMethodOneArg(self, words._leave_row, rows));
    }
    Py_XDECREF(client);
    return fine;
}

static int count_end(PyObject *server_counts, PyObject *self)
{
    if (PyObject_TypeCheck(server_counts, &session_tally_type)) {
        return tally_end(server_counts, self);
    }
    return done(PyObject_CallMethodOneArg(server_counts, words.end, self));
}

/* Tells the session table and the server's counters of the end, where there are any. */
static int tell_server(PyObject *self)
{
    PyObject *rows = path_follow(&ways.rows, self), *server_counts = path_follow(&ways.counted, self);
    int fine = rows != NULL && server_counts != NULL && (rows == Py_None || leave_row(self, rows)) &&
               (server_counts == Py_None || count_end(server_counts, self));

    Py_XDECREF(rows);
    Py_XDECREF(server_counts);
    return fine;
}

int record_end(PyObject *self, PyObject *reason)
{
    PyObject *live;
    int lives = path_lacks(&ways.ended, self), fine;

    if (lives <= 0) {
        return lives;
    }
    live = path_follow(&ways.live, self);
    fine = live != NULL && step_set(self, &fields.reason, reason) && PyObject_DelItem(live, self) == 0 &&
           tell_server(self) && tell_listeners(self);
    Py_XDECREF(live);
    return fine ? 1 : -1;
}

static PyObject *end(PyObject *self, PyObject *reason)
{
    return none_if(record_end(self, reason) >= 0);
}

static PyMethodDef record_methods[] = {
    {"begun", FAST(record_begun),
     "begun(number, peer, accepted, client_bytes): a record for which this one is the pattern."},
    {"end", end, METH_O, "end(reason): the session has ended."},
    {NULL, NULL, 0, NULL},
};

static PyObject *note_records(PyObject *Py_UNUSED(module), PyObject *type)
{
    return none_if(take_over(type, record_methods));
}

PyMethodDef record_functions[] = {
    {"note_records", note_records, METH_O, "note_records(type): make C implement frequent methods of a record class."},
    {NULL, NULL, 0, NULL},
};
