/* The way from a usual login into its relay, and that relay's usual end: methods for classes that Python defines, see
 * mail/entering.py and mail/relay.py. */

#include "mail.h"
#include "path.h"
#include "relay.h"

#define FIELDS(FIELD)                                                                                                  \
    FIELD(action)                                                                                                      \
    FIELD(backend)                                                                                                     \
    FIELD(backend_bytes)                                                                                               \
    FIELD(client_bytes)                                                                                                \
    FIELD(logged_in)                                                                                                   \
    FIELD(record)

#define WAYS(WAY)                                                                                                      \
    WAY(agreed, "_agreed")                                                                                             \
    WAY(backend, "backend")                                                                                            \
    WAY(client, "client")                                                                                              \
    WAY(dialogue, "_dialogue")                                                                                         \
    WAY(entered_backend, "backend")                                                                                    \
    WAY(informative, "entrance.log.informative")                                                                       \
    WAY(live, "entrance.sessions.live")                                                                                \
    WAY(log, "log")                                                                                                    \
    WAY(now, "entrance.sessions.loop.now")                                                                             \
    WAY(of_relay, "record")                                                                                            \
    WAY(quiet, "_quiet")                                                                                               \
    WAY(relays, "_relays")                                                                                             \
    WAY(steps, "_steps")                                                                                               \
    WAY(stream, "stream")                                                                                              \
    WAY(talkative, "_talkative")                                                                                       \
    WAY(welcome, "protocol.welcome")

#define WORDS(WORD)                                                                                                    \
    WORD(_begin_prepared)                                                                                              \
    WORD(_by_backend)                                                                                                  \
    WORD(_by_client)                                                                                                   \
    WORD(_converse)                                                                                                    \
    WORD(_end)                                                                                                         \
    WORD(_note_entry)                                                                                                  \
    WORD(_say_done)                                                                                                    \
    WORD(end)                                                                                                          \
    WORD(take_input)

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

/* Makes the record that of a relay, from now on; first the relay's own, by which `abort` ends both. */
static int note(PyObject *record, PyObject *relay)
{
    int noted = step_set(relay, &fields.record, record);
    PyObject *live = noted ? path_follow(&ways.live, record) : NULL;
    int fine = live != NULL && step_give(record, &fields.logged_in, now_of(record)) &&
               step_give(record, &fields.client_bytes, path_follow(&ways.client, relay)) &&
               step_give(record, &fields.backend_bytes, path_follow(&ways.backend, relay)) &&
               PyObject_SetItem(live, record, relay) == 0;

    Py_XDECREF(live);
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

/* The bytes that the client has sent after its login. */
static PyObject *words_after_login(PyObject *session)
{
    PyObject *dialogue = path_follow(&ways.dialogue, session), *said = NULL;

    if (dialogue != NULL) {
        said = dialogue == Py_None ? PyBytes_FromStringAndSize(NULL, 0)
                                   : PyObject_CallMethodNoArgs(dialogue, words.take_input);
    }
    Py_XDECREF(dialogue);
    return said;
}

/* Entering._entered(words): `said` are the words. */
static PyObject *entered(PyObject *self, PyObject *said)
{
    enum { RELAYS, AGREED, RECORD, CLIENT, CLIENTS_WORDS, BACKEND, BACKENDS_WORDS, PARTS };
    struct path *const places[BACKENDS_WORDS] = {&ways.relays, &ways.agreed, &ways.log,
                                                 &ways.stream, NULL,         &ways.entered_backend};
    int quiet = path_has(&ways.quiet, self), i, fine = 1;
    PyObject *refused = quiet == 0 ? PyObject_CallMethodNoArgs(self, words._note_entry) : NULL, *link = NULL;
    PyObject *parts[PARTS] = {NULL};

    if (quiet < 0 || (quiet == 0 && refused != Py_None)) {
        return refused;
    }
    Py_XDECREF(refused);
    for (i = 0; i < PARTS && fine; i++) {
        parts[i] = i == CLIENTS_WORDS    ? words_after_login(self)
                   : i == BACKENDS_WORDS ? Py_NewRef(said)
                                         : path_follow(places[i], self);
        fine = parts[i] != NULL;
    }
    if (fine && step_set(parts[RECORD], &fields.action, Py_None)) {
        link = start(parts[RELAYS], parts + 1, PARTS - 1);
    }
    for (i = 0; i < PARTS; i++) {
        Py_XDECREF(parts[i]);
    }
    if (link != NULL && !step_set(self, &fields.backend, Py_None)) {
        Py_CLEAR(link);
    }
    return link;
}

/* Entering._answered(usual, data). */
static PyObject *answered(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *steps, *link, *welcome;
    Py_ssize_t usual;
    int unusual;

    if (!counted(given, 2)) {
        return NULL;
    }
    usual = PyLong_AsSsize_t(arguments[0]);
    steps = usual == -1 && PyErr_Occurred() ? NULL : path_follow(&ways.steps, self);
    if (steps == NULL) {
        return NULL;
    }
    unusual = usual < PyObject_Size(steps) ? 1 : path_has(&ways.talkative, self);
    Py_DECREF(steps);
    if (unusual != 0) {
        return unusual < 0 ? NULL : PyObject_CallMethodObjArgs(self, words._converse, arguments[0], arguments[1], NULL);
    }
    welcome = path_follow(&ways.welcome, self);
    link = welcome == NULL ? NULL : entered(self, PyObject_IsTrue(welcome) > 0 ? welcome : arguments[1]);
    Py_XDECREF(welcome);
    return link;
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

static PyMethodDef entering_methods[] = {
    {"_answered", FAST(answered), "_answered(usual, data): after usual replies the login is done."},
    {"_entered", entered, METH_O, "_entered(words): start the relay."},
    {NULL, NULL, 0, NULL},
};

static PyObject *note_entering(PyObject *Py_UNUSED(module), PyObject *type)
{
    return none_if(take_over(type, entering_methods));
}

static PyObject *note_relays(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return none_if(counted(given, 2) && take_over(arguments[0], relays_methods) &&
                   take_over(arguments[1], relay_methods));
}

PyMethodDef session_relay_functions[] = {
    {"note_entering", note_entering, METH_O, "note_entering(type): make C implement the end of a usual login."},
    {"note_relays", FAST(note_relays),
     "note_relays(relays, relay): make C implement the frequent methods of these two classes."},
    {NULL, NULL, 0, NULL},
};
