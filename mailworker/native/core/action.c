/* The actions of a stream: it reads, writes, waits, connects and shakes hands. */

#include "action.h"

#include <errno.h>
#include <sys/socket.h>

/* Most bytes of one read, in a buffer on the stack: a stream that waits holds no buffer. */
#define READ_SIZE 4096

/* Replaces the poller's exception by the one that the class in Python makes of it. */
static void refuse_watch(struct stream *self)
{
    PyObject *error;

    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        error = take_exception();
        raise_error(PyObject_CallMethodOneArg((PyObject *) self, names._refused, error));
        Py_DECREF(error);
    }
}

int stream_reach(struct stream *self)
{
    PyObject *address = self->address;
    int fine;

    if (address == NULL) {
        return 1;
    }
    self->address = NULL;
    fine = connect(self->descriptor, &self->destination.address.any, self->destination.length) == 0 ||
           errno == EINPROGRESS;
    if (!fine) {
        raise_error(PyObject_CallMethod((PyObject *) self, "_unreached", "Oi", address, errno));
    }
    Py_DECREF(address);
    return fine;
}

PySendResult stream_put_off(struct stream *self, PyObject **result)
{
    if (!loop_put_off(self->loop, (PyObject *) self)) {
        return PYGEN_ERROR;
    }
    self->late = 1;
    *result = Py_NewRef((PyObject *) self);
    return PYGEN_NEXT;
}

/* Yields to the task until the descriptor is ready for `events`. */
static PySendResult wait_for(struct stream *self, int events, PyObject **result)
{
    if (self->watched != events) {
        if (!loop_watch(self->loop, self->descriptor, self->watched, events, (PyObject *) self)) {
            refuse_watch(self);
            return PYGEN_ERROR;
        }
        self->watched = events;
    }
    *result = Py_NewRef((PyObject *) self);
    return PYGEN_NEXT;
}

/* After a step with this `outcome`: waits, or raises the exception that Python makes for a failure. */
static PySendResult stopped(struct stream *self, const char *call, ssize_t outcome, PyObject **result)
{
    if (outcome == -READ || outcome == -WRITE) {
        return wait_for(self, (int) -outcome, result);
    }
    raise_error(PyObject_CallMethod((PyObject *) self, "_failed", "si", call, outcome == IO_SYSTEM ? errno : 0));
    return PYGEN_ERROR;
}

/* It waits before it reads, so that other streams get their turn. */
PySendResult go_on_reading(struct stream *self, PyObject **result)
{
    const struct transport *transport = transport_of(self->connection);
    char page[READ_SIZE];
    ssize_t length;

    if (!self->waited) {
        self->waited = 1;
        if (!transport->has_input(self->connection)) {
            return wait_for(self, READ, result);
        }
    }
    length = transport->read(self->descriptor, self->connection, page, (size_t) self->limit);
    if (length < 0) {
        return stopped(self, transport->reading, length, result);
    }
    self->received += (unsigned long long) length;
    *result = PyBytes_FromStringAndSize(page, length);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

PySendResult go_on_writing(struct stream *self, PyObject **result)
{
    const struct transport *transport = transport_of(self->connection);
    Py_ssize_t left;

    while ((left = PyBytes_GET_SIZE(self->data) - self->offset) > 0) {
        ssize_t sent = transport->write(self->descriptor, self->connection,
                                        PyBytes_AS_STRING(self->data) + self->offset, (size_t) left, 0);

        if (sent < 0) {
            return stopped(self, transport->writing, sent, result);
        }
        self->sent += (unsigned long long) sent;
        self->offset += sent;
    }
    Py_CLEAR(self->data);
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PySendResult go_on_shaking_hands(struct stream *self, PyObject **result)
{
    int outcome;

    if (!self->waited) { /* for the ClientHello */
        self->waited = 1;
        return wait_for(self, READ, result);
    }
    outcome = tls_transport->shake_hands(self->connection, self->more);
    if (outcome > 0) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    if (outcome == 0) {
        raise_error(PyObject_CallMethod((PyObject *) self, "_failed", "sO", "SSL_do_handshake()", Py_None));
        return PYGEN_ERROR;
    }
    return stopped(self, "SSL_do_handshake()", outcome, result);
}

void begin_action(struct stream *self, stream_action *action)
{
    self->action = action;
    self->waited = 0;
    self->late = 0;
    Py_CLEAR(self->outcome);
}

int stream_shake_hands(struct stream *self, PyObject *context, void *native, int more)
{
    void *connection = tls_transport->begin(native, self->descriptor, 0);

    if (connection == NULL) {
        return done(PyErr_NoMemory());
    }
    stream_forget_tls(self);
    Py_SETREF(self->tls, Py_NewRef(context));
    self->connection = connection;
    self->bare = 1;
    self->more = (char) more;
    begin_action(self, go_on_shaking_hands);
    return 1;
}

PySendResult go_on_waiting(struct stream *self, PyObject **result)
{
    if (!self->waited) {
        self->waited = 1;
        return wait_for(self, self->events, result);
    }
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

int begin_reading(struct stream *self, PyObject *limit, stream_action *action)
{
    self->limit = PyLong_AsSsize_t(limit);
    if (self->limit < 0) {
        return PyErr_Occurred() ? 0 : raised(PyExc_ValueError, "negative limit");
    }
    if (self->limit > READ_SIZE) {
        self->limit = READ_SIZE;
    }
    begin_action(self, action);
    return 1;
}
