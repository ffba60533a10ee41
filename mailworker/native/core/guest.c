/*
 * A client from accept and greeting until it first sends something; see event/lobby.py. A guest takes the place of the
 * task that waits for its stream.
 */

#include "lobby.h"

static void guest_dealloc(PyObject *object)
{
    struct guest *self = (struct guest *) object;

    Py_XDECREF(self->lobby);
    Py_XDECREF(self->stream);
    Py_XDECREF(self->peer);
    Py_TYPE(object)->tp_free(object);
}

/* Ends the row of a guest that has not passed it on, or counts it no longer as missing. */
static void unlist(const struct lobby *lobby, struct guest *self)
{
    Py_ssize_t row = self->stream->row;

    if (self->listed && (row == NO_ROW || rows_owned(lobby->rows, row, (PyObject *) self))) {
        (void) rows_end(lobby->rows, row);
        self->stream->row = NO_ROW;
    }
    self->listed = 0;
}

/* Passes on a guest with its first words, or an exception; steals the reference to `heard`. */
static int leave(struct guest *self, PyObject *heard)
{
    struct lobby *lobby = self->lobby;
    int fine;

    if (heard == NULL) {
        return 0;
    }
    self->lobby = NULL;
    timers_cancel(&self->timed);
    fine = lobby == NULL || PySet_Discard(lobby->guests, (PyObject *) self) >= 0;
    if (fine && lobby != NULL) {
        PyObject *arguments[] = {(PyObject *) self, heard};

        fine = done(PyObject_Vectorcall(lobby->left, arguments, 2, NULL));
    }
    Py_DECREF(heard);
    if (fine) {
        Py_XDECREF(lobby);
    } else {
        self->lobby = lobby; /* as guest_unless_bug() needs it */
    }
    return fine;
}

/* Forgets a guest that nobody has now. */
static void forget(const struct lobby *lobby, struct guest *self)
{
    PyObject *guest = (PyObject *) self;

    unlist(lobby, self);
    if (PySet_Discard(lobby->guests, guest) < 0 ||
        (lobby->forgotten != Py_None && !done(PyObject_CallOneArg(lobby->forgotten, guest)))) {
        PyErr_Clear();
    }
}

int guest_unless_bug(struct guest *self, int fine)
{
    PyObject *bug;

    if (fine) {
        return 1;
    }
    bug = take_exception();
    timers_cancel(&self->timed);
    if (self->lobby != NULL) {
        forget(self->lobby, self);
    }
    Py_CLEAR(self->lobby);
    if (!done(PyObject_CallMethodNoArgs((PyObject *) self->stream, names.close))) {
        PyErr_Clear();
    }
    raise_error(bug);
    return 0;
}

/* Takes the raised exception if it is a PeerError. */
static PyObject *fault(void)
{
    return is_peer_error() ? take_exception() : NULL;
}

int guest_greet(struct guest *self)
{
    return stream_exchange(self->stream, self->lobby->limit, self->lobby->steps);
}

/* After the handshake. */
static int greet_securely(struct guest *self)
{
    PyObject *shaken = self->lobby->shaken;

    self->shaking = 0;
    return (shaken == Py_None || done(PyObject_CallOneArg(shaken, (PyObject *) self))) && guest_greet(self);
}

int guest_go_on(struct guest *self)
{
    PyObject *result = NULL;
    PySendResult status = stream_go_on(self->stream, &result);

    if (status == PYGEN_ERROR) {
        return leave(self, fault());
    }
    if (status == PYGEN_RETURN && self->shaking) {
        Py_DECREF(result);
        return greet_securely(self) && guest_go_on(self);
    }
    if (status == PYGEN_RETURN) {
        PyObject *words = Py_NewRef(PyTuple_GET_ITEM(result, 1));

        Py_DECREF(result);
        return leave(self, words);
    }
    Py_DECREF(result);
    return stream_park(self->stream, (PyObject *) self);
}

static PyObject *guest_resume(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct guest *self = (struct guest *) object;
    int failed = given == 1 && arguments[0] != Py_None;

    if (given > 1) {
        return PyErr_Format(PyExc_TypeError, "%zd arguments, not 1", given);
    }
    return none_if(guest_unless_bug(self, failed ? leave(self, Py_NewRef(arguments[0])) : guest_go_on(self)));
}

static PyObject *guest_expire(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct guest *self = (struct guest *) object;
    PyObject *error = PyObject_CallMethodNoArgs((PyObject *) self->stream, names.timed_out);

    return none_if(guest_unless_bug(self, leave(self, error)));
}

static PyObject *guest_interrupt(PyObject *object, PyObject *error)
{
    struct guest *self = (struct guest *) object;
    PyObject *instead;

    if (self->stream->task != object) { /* it has left, or calls a function of the session */
        Py_RETURN_NONE;
    }
    instead = PyObject_CallMethodNoArgs((PyObject *) self->stream, names.timed_out);
    if (instead == NULL) {
        return NULL;
    }
    Py_DECREF(instead);
    return none_if(guest_unless_bug(self, leave(self, Py_NewRef(error))));
}

static PyMemberDef guest_members[] = {
    {"stream", T_OBJECT_EX, offsetof(struct guest, stream), READONLY, NULL},
    {"peer", T_OBJECT_EX, offsetof(struct guest, peer), READONLY, NULL},
    {"number", T_LONGLONG, offsetof(struct guest, number), READONLY, NULL},
    {"accepted", T_DOUBLE, offsetof(struct guest, accepted), READONLY, NULL},
    {"shaking", T_BOOL, offsetof(struct guest, shaking), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef guest_methods[] = {
    {"resume", FAST(guest_resume), "resume(error=None): called by the stream."},
    {"expire", guest_expire, METH_NOARGS, "expire(): the deadline has passed."},
    {"interrupt", guest_interrupt, METH_O, "interrupt(error): make the client leave with this error."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject guest_type = {
    TYPE("Guest", guest, "An accepted client.", Py_TPFLAGS_DISALLOW_INSTANTIATION),
    .tp_dealloc = guest_dealloc,
    .tp_members = guest_members,
    .tp_methods = guest_methods,
};
