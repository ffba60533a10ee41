/* What streams do: each action begins with a method that gives the stream itself, to be awaited, and goes on from there. */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "events.h"
#include "exception.h"
#include "reply.h"
#include "sending.h"
#include "stream.h"

#include <errno.h>

/* Bytes of one read at most, which are on the stack: a stream that waits holds no buffer. */
#define PAGE_SIZE 4096

static PyObject *read_tls_name, *refused_name, *write_tls_name;

int prepare_actions(void)
{
    read_tls_name = PyUnicode_InternFromString("_read_tls");
    refused_name = PyUnicode_InternFromString("_refused");
    write_tls_name = PyUnicode_InternFromString("_write_tls");
    return read_tls_name != NULL && refused_name != NULL && write_tls_name != NULL;
}

/* Raises what a method has made of a failure; NULL where that has raised something itself. */
static void raise_error(PyObject *error)
{
    if (error != NULL) {
        PyErr_SetObject((PyObject *) Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

/* Raises in place of the selector's error what Python calls it. */
static void refuse_watch(struct stream *self)
{
    PyObject *error;

    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        error = take_exception();
        raise_error(PyObject_CallMethodOneArg((PyObject *) self, refused_name, error));
        Py_DECREF(error);
    }
}

/* Watches for `events`, if that is not so already; whether it went well. */
static int watch(struct stream *self, int events)
{
    PyObject *done;

    if (self->watched == events) {
        return 1;
    }
    done = PyObject_CallMethod(self->loop, self->watched ? "change" : "watch", "iiO", self->descriptor, events, self);
    if (done == NULL) {
        refuse_watch(self);
        return 0;
    }
    Py_DECREF(done);
    self->watched = events;
    return 1;
}

/* Yields to the task until the descriptor is ready for `events`. */
static PySendResult wait_for(struct stream *self, int events, PyObject **result)
{
    if (!watch(self, events)) {
        return PYGEN_ERROR;
    }
    *result = Py_NewRef((PyObject *) self);
    return PYGEN_NEXT;
}

/* After a call on the descriptor that has failed: waits where it would have blocked, else raises what Python calls it. */
static PySendResult failed(struct stream *self, const char *call, int events, PyObject **result)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return wait_for(self, events, result);
    }
    raise_error(PyObject_CallMethod((PyObject *) self, "_lost", "si", call, errno));
    return PYGEN_ERROR;
}

/* A read waits first, however much is there: so everybody gets a turn. */
static PySendResult go_on_reading(struct stream *self, PyObject **result)
{
    char page[PAGE_SIZE];
    ssize_t length;

    if (!self->waited) {
        self->waited = 1;
        return wait_for(self, READ, result);
    }
    do {
        length = recv(self->descriptor, page, (size_t) self->limit, self->flags);
    } while (length < 0 && errno == EINTR);
    if (length < 0) {
        return failed(self, "recv()", READ, result);
    }
    if (!(self->flags & MSG_PEEK)) {
        self->received += (unsigned long long) length;
    }
    *result = PyBytes_FromStringAndSize(page, length);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PySendResult go_on_writing(struct stream *self, PyObject **result)
{
    Py_ssize_t left = PyBytes_GET_SIZE(self->data) - self->offset;
    ssize_t sent;

    do {
        sent = send(self->descriptor, PyBytes_AS_STRING(self->data) + self->offset, (size_t) left,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return failed(self, "send()", WRITE, result);
    }
    self->sent += (unsigned long long) sent;
    if (sent < left) {
        self->offset += sent;
        return wait_for(self, WRITE, result);
    }
    Py_CLEAR(self->data);
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static int is_expected(PyObject *reply, PyObject *step)
{
    PyObject *wanted = PyTuple_GET_ITEM(step, 1);
    PyObject *last = PyTuple_GET_ITEM(wanted, 0), *others = PyTuple_GET_ITEM(wanted, 1);

    return reply_is_whole(PyBytes_AS_STRING(reply), (size_t) PyBytes_GET_SIZE(reply), PyBytes_AS_STRING(last),
                          (size_t) PyBytes_GET_SIZE(last), others == Py_None ? NULL : PyBytes_AS_STRING(others),
                          others == Py_None ? 0 : (size_t) PyBytes_GET_SIZE(others));
}

static void begin_step(struct stream *self, Py_ssize_t step)
{
    PyObject *command = PyTuple_GET_ITEM(PyTuple_GET_ITEM(self->steps, step), 0);

    self->step = step;
    self->offset = 0;
    self->waited = 0;
    Py_XSETREF(self->data, command == Py_None ? NULL : Py_NewRef(command));
}

static PySendResult go_on_exchanging(struct stream *self, PyObject **result)
{
    PySendResult status;

    for (;;) {
        PyObject *reply = NULL;

        if (self->data != NULL) {
            status = go_on_writing(self, result);
            if (status != PYGEN_RETURN) {
                return status;
            }
            Py_CLEAR(*result);
        }
        status = go_on_reading(self, &reply);
        if (status != PYGEN_RETURN) {
            *result = reply;
            return status;
        }
        if (self->step + 1 == PyTuple_GET_SIZE(self->steps) ||
            !is_expected(reply, PyTuple_GET_ITEM(self->steps, self->step))) {
            *result = Py_BuildValue("nN", self->step, reply);
            Py_CLEAR(self->steps);
            return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
        }
        Py_DECREF(reply);
        begin_step(self, self->step + 1);
    }
}

static void begin(struct stream *self, PySendResult (*action)(struct stream *self, PyObject **result))
{
    self->action = action;
    Py_CLEAR(self->outcome);
}

static PySendResult go_on_waiting(struct stream *self, PyObject **result)
{
    if (!self->waited) {
        self->waited = 1;
        return wait_for(self, self->events, result);
    }
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

PyObject *stream_wait(PyObject *object, PyObject *events)
{
    struct stream *self = (struct stream *) object;
    long value = PyLong_AsLong(events);

    if (value == -1 && PyErr_Occurred()) {
        return NULL;
    }
    begin(self, go_on_waiting);
    self->events = (int) value;
    self->waited = 0;
    return Py_NewRef(object);
}

/* Over TLS, Python does it. */
static PyObject *by_tls(struct stream *self, PyObject *method, PyObject *argument)
{
    return PyObject_CallMethodObjArgs((PyObject *) self, method, self->tls, argument, NULL);
}

static PyObject *begin_reading(struct stream *self, PyObject *limit, int flags)
{
    self->limit = PyLong_AsSsize_t(limit);
    if (self->limit < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "negative limit");
        }
        return NULL;
    }
    if (self->limit > PAGE_SIZE) {
        self->limit = PAGE_SIZE;
    }
    begin(self, go_on_reading);
    self->flags = MSG_DONTWAIT | flags;
    self->waited = 0;
    return Py_NewRef((PyObject *) self);
}

PyObject *stream_read(PyObject *object, PyObject *limit)
{
    struct stream *self = (struct stream *) object;

    return self->tls == Py_None ? begin_reading(self, limit, 0) : by_tls(self, read_tls_name, limit);
}

PyObject *stream_peek(PyObject *object, PyObject *limit)
{
    return begin_reading((struct stream *) object, limit, MSG_PEEK);
}

PyObject *stream_write(PyObject *object, PyObject *data)
{
    struct stream *self = (struct stream *) object;

    if (!PyBytes_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "only bytes can be written");
        return NULL;
    }
    if (self->tls != Py_None) {
        return by_tls(self, write_tls_name, data);
    }
    begin(self, go_on_writing);
    Py_XSETREF(self->data, Py_NewRef(data));
    self->offset = 0;
    return Py_NewRef(object);
}

static int is_bytes_or_none(PyObject *object)
{
    return object == Py_None || PyBytes_Check(object);
}

/* Whether it is (command or None, (last, others or None, ...)). */
static int is_step(PyObject *step)
{
    PyObject *wanted;

    if (!PyTuple_Check(step) || PyTuple_GET_SIZE(step) != 2 || !is_bytes_or_none(PyTuple_GET_ITEM(step, 0))) {
        return 0;
    }
    wanted = PyTuple_GET_ITEM(step, 1);
    return PyTuple_Check(wanted) && PyTuple_GET_SIZE(wanted) >= 2 && PyBytes_Check(PyTuple_GET_ITEM(wanted, 0)) &&
           is_bytes_or_none(PyTuple_GET_ITEM(wanted, 1));
}

PyObject *stream_exchange(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct stream *self = (struct stream *) object;
    Py_ssize_t count, i;
    PyObject *begun;

    if (given != 2 || !PyTuple_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "exchange() takes a limit and a tuple of steps");
        return NULL;
    }
    count = PyTuple_GET_SIZE(arguments[1]);
    for (i = 0; i < count && is_step(PyTuple_GET_ITEM(arguments[1], i)); i++) {
    }
    if (count == 0 || i < count) {
        PyErr_SetString(PyExc_ValueError, "a step is a command, and how the lines of its reply start");
        return NULL;
    }
    begun = begin_reading(self, arguments[0], 0);
    if (begun != NULL) {
        begin(self, go_on_exchanging);
        Py_XSETREF(self->steps, Py_NewRef(arguments[1]));
        begin_step(self, 0);
    }
    return begun;
}
