/* Counters in words that other processes read; see event/tally.py. */

#include "path.h"
#include "shm.h"

#include <stdint.h>
#include <time.h>

#define MICROSECONDS 1e6
#define LONGEST 1e12 /* seconds */
#define COUNTS 4     /* of bytes: from the client, to it, and the same for the backend */

/* Counts the events of sessions, see SessionTally: places and bounds are those of Places. */
struct session_tally {
    PyObject_HEAD
    Py_buffer row;
    PyObject *places; /* a tuple, which owns the tuples among these */
    Py_ssize_t accepted, logins, bytes, latest, auth_seconds, login_seconds, session_seconds;
    PyObject *allowed, *ended, *odd, *latency, *duration;
    int by_backend;
    struct loop *loop;
    struct timed *alarm;
    PyObject *wake;
};

/* Releasing leaves the length: without it there is no word to add to. */
static void release_row(struct session_tally *self)
{
    PyBuffer_Release(&self->row);
    self->row.len = 0;
}

static int session_tally_init(PyObject *object, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    struct session_tally *self = (struct session_tally *) object;
    PyObject *words, *loop, *places, *alarm, *wake;

    if (!PyArg_ParseTuple(arguments, "OOO!O!O", &words, &loop, &PyTuple_Type, &places, &timed_type, &alarm, &wake) ||
        !is_loop(loop) ||
        !PyArg_ParseTuple(places, "nnnnnnnO!O!O!O!O!p", &self->accepted, &self->logins, &self->bytes, &self->latest,
                          &self->auth_seconds, &self->login_seconds, &self->session_seconds, &PyTuple_Type,
                          &self->allowed, &PyTuple_Type, &self->ended, &PyTuple_Type, &self->odd, &PyTuple_Type,
                          &self->latency, &PyTuple_Type, &self->duration, &self->by_backend)) {
        return -1;
    }
    Py_XSETREF(self->places, Py_NewRef(places));
    Py_XSETREF(self->loop, (struct loop *) Py_NewRef(loop));
    Py_XSETREF(self->alarm, (struct timed *) Py_NewRef(alarm));
    Py_XSETREF(self->wake, Py_NewRef(wake));
    release_row(self);
    if (PyObject_GetBuffer(words, &self->row, PyBUF_WRITABLE) < 0) {
        release_row(self); /* a memoryview has set its length */
        return -1;
    }
    return 0;
}

#define REFERENCES(REF) REF(places) REF(loop) REF(alarm) REF(wake)
COLLECTED_AFTER(session_tally, REFERENCES, release_row(self))

static int take_place(PyObject *argument, Py_ssize_t *place)
{
    *place = PyLong_AsSsize_t(argument);
    return !(*place == -1 && PyErr_Occurred());
}

/* Adds in one store, so that no reader sees half of it. */
static int gain_word(struct session_tally *self, Py_ssize_t place, uint64_t amount)
{
    uint64_t *word;

    if (place < 0 || place >= self->row.len / (Py_ssize_t) sizeof(*word)) {
        return raised(PyExc_IndexError, "no such word");
    }
    word = (uint64_t *) self->row.buf + place;
    __atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
    return 1;
}

/* The index of the first of `bounds` not below `seconds`, their number if there is none; -1 with an exception. */
static Py_ssize_t bucket_of(PyObject *bounds, double seconds)
{
    Py_ssize_t i, size = PyTuple_GET_SIZE(bounds);

    for (i = 0; i < size; i++) {
        PyObject *bound = PyTuple_GET_ITEM(bounds, i);

        if (!PyFloat_CheckExact(bound)) {
            PyErr_SetString(PyExc_TypeError, "a bound is no float");
            return -1;
        }
        if (seconds <= PyFloat_AS_DOUBLE(bound)) {
            break;
        }
    }
    return i;
}

/* Adds one to the word whose place is entry `number` of a tuple of Places. */
static int add_at(struct session_tally *self, PyObject *const *places, Py_ssize_t number)
{
    Py_ssize_t place;

    if (self->places == NULL || number < 0 || number >= PyTuple_GET_SIZE(*places)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_IndexError, "no such number");
        }
        return 0;
    }
    return take_place(PyTuple_GET_ITEM(*places, number), &place) && gain_word(self, place, 1);
}

/* Counts the time since `began` in a histogram; where the row is gone, so are the loop and the bounds. */
static int observe_since(struct session_tally *self, Py_ssize_t place, PyObject *bounds, PyObject *began)
{
    Py_ssize_t bucket;
    double seconds;

    if (!take_real(began, &seconds) || !gain_word(self, place, 0)) {
        return 0;
    }
    seconds = self->loop->now - seconds;
    seconds = seconds > 0.0 && seconds < LONGEST ? seconds : 0.0;
    bucket = bucket_of(bounds, seconds);
    return bucket >= 0 && gain_word(self, place + bucket, 1) &&
           gain_word(self, place + PyTuple_GET_SIZE(bounds) + 1, (uint64_t) (seconds * MICROSECONDS));
}

static PyObject *arrive(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct session_tally *self = (struct session_tally *) object;

    return none_if(gain_word(self, self->accepted, 1) &&
                   (self->alarm->deadline < Py_HUGE_VAL || done(PyObject_CallNoArgs(self->wake))));
}

static PyObject *allow(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct session_tally *self = (struct session_tally *) object;

    return none_if(counted(count, 2) &&
                   (self->by_backend || (observe_since(self, self->auth_seconds, self->latency, arguments[1]) &&
                                         add_at(self, &self->allowed, PyLong_AsSsize_t(arguments[0])))));
}

static PyObject *log_in(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct session_tally *self = (struct session_tally *) object;

    return none_if(counted(count, 2) && observe_since(self, self->login_seconds, self->latency, arguments[1]) &&
                   gain_word(self, self->logins, 1) &&
                   (!self->by_backend || add_at(self, &self->allowed, PyLong_AsSsize_t(arguments[0]))));
}

/* Keeps the reason in one word, with the time, if an administrator should look at it. */
static int note_latest(struct session_tally *self, Py_ssize_t number)
{
    PyObject *odd = PyTuple_GetItem(self->odd, number);
    uint64_t latest, *row = self->row.buf;

    if (odd != Py_True) {
        return odd != NULL;
    }
    latest = (uint64_t) time(NULL) * (uint64_t) PyTuple_GET_SIZE(self->ended) + (uint64_t) number;
    if (!gain_word(self, self->latest, 0)) {
        return 0;
    }
    __atomic_store_n(row + self->latest, latest, __ATOMIC_RELAXED);
    return 1;
}

/* What a session that has ended is asked for. */
static struct {
    struct path number, bytes[COUNTS], logged_in;
} ways;

int prepare_tallies(void)
{
    return path_make(&ways.number, "reason.number") && path_make(&ways.logged_in, "logged_in") &&
           path_make(&ways.bytes[0], "client_bytes.received") && path_make(&ways.bytes[1], "client_bytes.sent") &&
           path_make(&ways.bytes[2], "backend_bytes.received") && path_make(&ways.bytes[3], "backend_bytes.sent");
}

/* The number of a session's reason; -1 with an exception. */
static Py_ssize_t number_of(PyObject *session)
{
    PyObject *number = path_follow(&ways.number, session);
    Py_ssize_t value = number == NULL ? -1 : PyLong_AsSsize_t(number);

    Py_XDECREF(number);
    return value;
}

/* Adds the byte counts of a session's connections. */
static int gain_bytes(struct session_tally *self, PyObject *session)
{
    uint64_t amount;
    int i = 0;

    while (i < COUNTS && path_whole(&ways.bytes[i], session, &amount) && gain_word(self, self->bytes + i, amount)) {
        i++;
    }
    return i == COUNTS;
}

static int observe_duration(struct session_tally *self, PyObject *session)
{
    PyObject *logged_in = path_follow(&ways.logged_in, session);
    int fine = logged_in != NULL &&
               (logged_in == Py_None || observe_since(self, self->session_seconds, self->duration, logged_in));

    Py_XDECREF(logged_in);
    return fine;
}

int tally_end(PyObject *object, PyObject *session)
{
    struct session_tally *self = (struct session_tally *) object;
    Py_ssize_t number = number_of(session);

    return add_at(self, &self->ended, number) && note_latest(self, number) && gain_bytes(self, session) &&
           observe_duration(self, session);
}

static PyObject *end(PyObject *object, PyObject *session)
{
    return none_if(tally_end(object, session));
}

static PyMemberDef session_tally_members[] = {
    {"_words", T_OBJECT_EX, offsetof(struct session_tally, row.obj), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef session_tally_methods[] = {
    {"arrive", arrive, METH_NOARGS, "arrive(): a client has connected."},
    {"allow", FAST(allow), "allow(method, began): the source of logins has allowed a login."},
    {"log_in", FAST(log_in), "log_in(method, began): a client is logged in."},
    {"end", end, METH_O, "end(session): the session has ended."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject session_tally_type = {
    COLLECTED_TYPE("SessionTally", session_tally, "Counts the events of sessions, one call for each.",
                   Py_TPFLAGS_BASETYPE),
    .tp_new = PyType_GenericNew,
    .tp_init = session_tally_init,
    .tp_members = session_tally_members,
    .tp_methods = session_tally_methods,
};
