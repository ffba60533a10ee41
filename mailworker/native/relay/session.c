/* The start and the usual end of a session's relay: methods for classes that Python defines, see mail/relay.py. */

#include "path.h"

#define FIELDS(FIELD)                                                                                                  \
    FIELD(action)                                                                                                      \
    FIELD(backend_bytes)                                                                                               \
    FIELD(client_bytes)                                                                                                \
    FIELD(logged_in)                                                                                                   \
    FIELD(record)

#define WAYS(WAY)                                                                                                      \
    WAY(backend, "backend")                                                                                            \
    WAY(client, "client")                                                                                              \
    WAY(informative, "entrance.log.informative")                                                                       \
    WAY(live, "entrance.sessions.live")                                                                                \
    WAY(now, "entrance.sessions.loop.now")                                                                             \
    WAY(of_relay, "record")

#define WORDS(WORD)                                                                                                    \
    WORD(_begin_prepared)                                                                                              \
    WORD(_by_backend)                                                                                                  \
    WORD(_by_client)                                                                                                   \
    WORD(_end)                                                                                                         \
    WORD(_say_done)                                                                                                    \
    WORD(end)

ATTRIBUTES;

int prepare_session_relays(void)
{
    return MAKE_ATTRIBUTES;
}

static PyObject *now_of(PyObject *record)
{
    double now;

    return path_number(&ways.now, record, &now) == REAL ? PyFloat_FromDouble(now) : NULL;
}

/* Makes the record that of a relay, from now on. */
static int note(PyObject *record, PyObject *relay)
{
    PyObject *live = path_follow(&ways.live, record);
    int fine = live != NULL && step_give(record, &fields.logged_in, now_of(record)) &&
               step_set(relay, &fields.record, record) &&
               step_give(record, &fields.client_bytes, path_follow(&ways.client, relay)) &&
               step_give(record, &fields.backend_bytes, path_follow(&ways.backend, relay)) &&
               PyObject_SetItem(live, record, relay) == 0;

    Py_XDECREF(live);
    return fine;
}

/* Ends the relay by the bug that was raised: nobody else has the connections. */
static int abort_relay(PyObject *relay)
{
    PyObject *bug;
    int fine;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return 0;
    }
    bug = take_exception();
    fine = done(PyObject_CallMethodOneArg(relay, names.abort, bug));
    Py_DECREF(bug);
    return fine;
}

/* Relays.start(agreed, record, client, clients_words, backend, backends_words). */
static PyObject *start(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *agreed, *relay;
    int begun;

    if (!counted(given, 6)) {
        return NULL;
    }
    agreed = arguments[0];
    if (!PyTuple_Check(agreed) || PyTuple_GET_SIZE(agreed) != 3) {
        return PyErr_Format(PyExc_TypeError, "agreed is no Agreed");
    }
    {
        PyObject *parts[] = {PyTuple_GET_ITEM(agreed, 0), arguments[2], arguments[3], arguments[4], arguments[5]};

        relay = PyObject_Vectorcall(PyTuple_GET_ITEM(agreed, 1), parts, 5, NULL);
    }
    if (relay == NULL) {
        return NULL;
    }
    begun = note(arguments[1], relay) && done(PyTuple_GET_ITEM(agreed, 2) == Py_True
                                                  ? PyObject_CallMethodNoArgs(relay, names.begin)
                                                  : PyObject_CallMethodOneArg(self, words._begin_prepared, relay));
    begun = begun || abort_relay(relay);
    Py_DECREF(relay);
    return none_if(begun);
}

/* Relay.finish(). */
static PyObject *finish(PyObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *record = path_follow(&ways.of_relay, self), *reason = NULL;
    int informative = record == NULL ? -1 : path_has(&ways.informative, record);
    int fine = informative >= 0 && step_set(record, &fields.action, Py_None) &&
               (!informative || done(PyObject_CallMethodNoArgs(self, words._say_done)));

    if (fine) {
        reason = PyObject_GetAttr(self, pair_ended_by_client(self) ? words._by_client : words._by_backend);
    }
    fine = reason != NULL && done(PyObject_CallMethodOneArg(self, words._end, reason));
    Py_XDECREF(record);
    Py_XDECREF(reason);
    return none_if(fine);
}

/* Relay._end(reason). */
static PyObject *end(PyObject *self, PyObject *reason)
{
    PyObject *record = path_follow(&ways.of_relay, self);
    int fine = record != NULL && done(PyObject_CallMethodOneArg(record, words.end, reason)) &&
               done(PyObject_CallMethodNoArgs(self, names.close));

    Py_XDECREF(record);
    return none_if(fine);
}

static PyMethodDef relays_methods[] = {
    {"start", FAST(start), "start(agreed, record, client, clients_words, backend, backends_words): begin to relay."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef relay_methods[] = {
    {"finish", finish, METH_NOARGS, "finish(): both directions have ended."},
    {"_end", end, METH_O, "_end(reason): end the record, and close both connections."},
    {NULL, NULL, 0, NULL},
};

static PyObject *note_relays(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return none_if(counted(given, 2) && take_over(arguments[0], relays_methods) &&
                   take_over(arguments[1], relay_methods));
}

PyMethodDef session_relay_functions[] = {
    {"note_relays", FAST(note_relays),
     "note_relays(relays, relay): make C implement the frequent methods of these two classes."},
    {NULL, NULL, 0, NULL},
};
