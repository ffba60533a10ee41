/*
 * A descriptor that a task reads from and writes to as if it blocked, plain or over TLS. It is its own awaitable, since
 * a task waits for one thing at a time. Errors are made in Python, by methods of the class derived from BaseStream.
 */

#include "action.h"
#include "shm.h"

#include <math.h>
#include <unistd.h>

static PyObject *stream_close(PyObject *object, PyObject *none);

static void open_stream(struct stream *self, struct loop *loop, int descriptor, PyObject *party, PyObject *closed,
                        int watched)
{
    self->descriptor = descriptor;
    self->watched = watched;
    self->deadline = INFINITY;
    self->row = NO_ROW;
    Py_XSETREF(self->loop, (struct loop *) Py_NewRef((PyObject *) loop));
    Py_XSETREF(self->party, Py_NewRef(party));
    Py_XSETREF(self->tls, Py_NewRef(Py_None));
    Py_XSETREF(self->closed, Py_NewRef(closed));
}

static int stream_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char *keys[] = {"loop", "descriptor", "party", "closed", "watched", NULL};
    PyObject *loop, *party, *closed;
    int descriptor, watched = 0;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OiOO|$i", keys, &loop, &descriptor, &party, &closed,
                                     &watched) ||
        !is_loop(loop)) {
        return -1;
    }
    open_stream((struct stream *) object, (struct loop *) loop, descriptor, party, closed, watched);
    return 0;
}

PyObject *stream_new(PyTypeObject *type, struct loop *loop, int descriptor, PyObject *party, PyObject *closed,
                     int watched)
{
    struct stream *self = (struct stream *) type->tp_alloc(type, 0);

    if (self != NULL) {
        open_stream(self, loop, descriptor, party, closed, watched);
    }
    return (PyObject *) self;
}

void stream_forget_tls(struct stream *self)
{
    if (self->bare) {
        self->bare = 0;
        tls_transport->end(self->connection);
        self->connection = NULL;
    }
}

/*
 * Closes a counted connection that its owner has lost, as it does where memory fails between two steps. The poller
 * holds the streams that it watches, so this one is not watched.
 */
static void close_lost(struct stream *self)
{
    PyObject *kind, *error, *traceback;

    if (self->closed != NULL && PyObject_TypeCheck(self->closed, &connections_type)) {
        PyErr_Fetch(&kind, &error, &traceback);
        self->watched = 0;
        if (!done(stream_close((PyObject *) self, NULL))) {
            PyErr_WriteUnraisable(Py_None);
        }
        PyErr_Restore(kind, error, traceback);
    }
    stream_forget_tls(self);
}

#define REFERENCES(REF)                                                                                                \
    REF(outcome) REF(steps) REF(heard) REF(data) REF(task) REF(closed) REF(tls) REF(party) REF(address) REF(loop)
COLLECTED_AFTER(stream, REFERENCES, close_lost(self))

static PyObject *stream_wait(PyObject *object, PyObject *events)
{
    struct stream *self = (struct stream *) object;

    if (!take_int(events, &self->events)) {
        return NULL;
    }
    begin_action(self, go_on_waiting);
    return Py_NewRef(object);
}

static PyObject *stream_read(PyObject *object, PyObject *limit)
{
    return begin_reading((struct stream *) object, limit, go_on_reading) ? Py_NewRef(object) : NULL;
}

static PyObject *stream_write(PyObject *object, PyObject *data)
{
    struct stream *self = (struct stream *) object;

    if (!PyBytes_Check(data)) {
        return PyErr_Format(PyExc_TypeError, "only bytes can be written");
    }
    begin_action(self, go_on_writing);
    Py_XSETREF(self->data, Py_NewRef(data));
    self->offset = 0;
    return Py_NewRef(object);
}

static PyObject *exchange(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    if (!counted(given, 2) || !stream_exchange((struct stream *) object, arguments[0], arguments[1])) {
        return NULL;
    }
    return Py_NewRef(object);
}

PySendResult stream_go_on(struct stream *self, PyObject **result)
{
    PySendResult status;

    *result = self->outcome;
    self->outcome = NULL;
    if (*result != NULL) {
        return PYGEN_RETURN;
    }
    if (self->action == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "nothing has been begun that could be waited for");
        return PYGEN_ERROR;
    }
    if (self->action != go_on_exchanging && !stream_reach(self)) {
        return PYGEN_ERROR;
    }
    status = self->action(self, result);
    if (status != PYGEN_NEXT) {
        self->action = NULL;
    }
    return status;
}

static PySendResult stream_send(PyObject *object, PyObject *Py_UNUSED(value), PyObject **result)
{
    return stream_go_on((struct stream *) object, result);
}

/* As stream_send, for callers that use the iterator protocol, such as profilers. */
static PyObject *stream_next(PyObject *object)
{
    PyObject *result, *stop;
    PySendResult status = stream_send(object, Py_None, &result);

    if (status != PYGEN_RETURN) {
        return result;
    }
    stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

int stream_park(struct stream *self, PyObject *task)
{
    struct timed *timed = (struct timed *) task;

    if (!PyObject_TypeCheck(task, &timed_type)) {
        return raised(PyExc_TypeError, "no Timed");
    }
    if (self->deadline == (double) INFINITY) {
        timers_cancel(timed);
    } else if (timed->deadline != self->deadline &&
               !timers_set(self->loop->timers, timed, self->deadline, self->loop->now)) {
        return 0;
    }
    Py_XSETREF(self->task, Py_NewRef(task));
    return 1;
}

static int resume(struct stream *self, PyObject *error)
{
    PyObject *task = self->task;
    int fine;

    self->task = NULL;
    self->action = NULL;
    if (Py_IS_TYPE(task, &task_type)) {
        fine = task_resume((struct task *) task, error);
    } else {
        fine = done(PyObject_CallMethodOneArg(task, names.resume, error == NULL ? Py_None : error));
    }
    Py_DECREF(task);
    Py_XDECREF(error);
    return fine;
}

/* Continues the action. The task is resumed once there is a result. Without `mask` it is what was put off. */
int stream_ready(PyObject *object, int mask)
{
    struct stream *self = (struct stream *) object;
    PyObject *result = NULL;
    PySendResult status;

    if (mask == 0 ? !self->late : !self->watched) {
        return 1; /* closed in the present round, or interrupted */
    }
    if (self->task == NULL || self->task == Py_None) { /* no task waits */
        int watched = self->watched;

        self->late = self->watched = 0;
        return !watched || loop_watch(self->loop, self->descriptor, watched, 0, object);
    }
    if (self->action == NULL) {
        return resume(self, NULL);
    }
    status = self->action(self, &result);
    if (status == PYGEN_ERROR) {
        return resume(self, take_exception());
    }
    if (status == PYGEN_RETURN) {
        Py_XSETREF(self->outcome, result);
        return resume(self, NULL);
    }
    Py_DECREF(result);
    return 1;
}

/* The methods for Python; a wait only ends by readiness, and a value that is sent is ignored. */

static PyObject *ready(PyObject *object, PyObject *mask)
{
    int value;

    return none_if(take_int(mask, &value) && stream_ready(object, value));
}

void stream_give_away(struct stream *self)
{
    Py_CLEAR(self->closed);
    Py_SETREF(self->tls, Py_NewRef(Py_None));
    self->connection = NULL;
    self->bare = 0;
    self->watched = 0;
    self->late = 0;
}

static PyObject *get_tls(PyObject *object, void *Py_UNUSED(closure))
{
    struct stream *self = (struct stream *) object;

    return dressed(&self->tls, self->connection, &self->bare);
}

static PyObject *reach(PyObject *object, PyObject *Py_UNUSED(none))
{
    return none_if(stream_reach((struct stream *) object));
}

static PyObject *stream_hand_over(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct stream *self = (struct stream *) object;
    PyObject *tls = get_tls(object, NULL);
    PyObject *given = tls == NULL ? NULL : Py_BuildValue("iNi", self->descriptor, tls, self->watched);

    if (given != NULL) {
        stream_give_away(self);
    }
    return given;
}

static PyObject *stream_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct stream *self = (struct stream *) object;
    PyObject *closed, *tls, *result = NULL;
    void *connection = self->connection;
    int watched = self->watched, bare = self->bare;

    if (self->closed == NULL) {
        Py_RETURN_NONE;
    }
    closed = Py_NewRef(self->closed);
    tls = Py_NewRef(self->tls);
    stream_give_away(self);
    if ((!watched || loop_forget(self->loop, self->descriptor)) && tls_free(tls, connection, bare)) {
        close(self->descriptor);
        result = PyObject_TypeCheck(closed, &connections_type) ? none_if(connections_release(closed))
                                                               : PyObject_CallNoArgs(closed);
    }
    Py_DECREF(tls);
    Py_DECREF(closed);
    return result;
}

static int set_tls(PyObject *object, PyObject *tls, void *Py_UNUSED(closure))
{
    struct stream *self = (struct stream *) object;
    void *connection;

    if (tls == NULL) {
        PyErr_SetString(PyExc_AttributeError, "tls");
        return -1;
    }
    stream_forget_tls(self);
    self->connection = NULL; /* its SSL may be gone, whatever follows */
    Py_SETREF(self->tls, Py_NewRef(Py_None));
    connection = connection_of(tls);
    if (PyErr_Occurred()) {
        return -1;
    }
    self->connection = connection;
    Py_SETREF(self->tls, Py_NewRef(tls));
    return 0;
}

static PyObject *get_secure(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((struct stream *) object)->connection != NULL);
}

static PyObject *get_agreement(PyObject *object, void *Py_UNUSED(closure))
{
    const struct stream *self = (struct stream *) object;
    struct agreement agreement;

    if (self->connection == NULL) {
        Py_RETURN_NONE;
    }
    tls_transport->describe(self->connection, &agreement);
    return Py_BuildValue("yyy", agreement.protocol, agreement.cipher, agreement.server_name);
}

static PyGetSetDef stream_properties[] = {
    {"tls", get_tls, set_tls, "The TLS connection, None without TLS.", NULL},
    {"secure", get_secure, NULL, "Whether the connection uses TLS.", NULL},
    {"agreement", get_agreement, NULL, "The parameters of the TLS connection, None without TLS.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *stream_self(PyObject *self)
{
    return Py_NewRef(self);
}

static PyMemberDef stream_members[] = {
    {"deadline", T_DOUBLE, offsetof(struct stream, deadline), 0, NULL},
    {"descriptor", T_INT, offsetof(struct stream, descriptor), READONLY, NULL},
    {"watched", T_INT, offsetof(struct stream, watched), 0, NULL},
    {"loop", T_OBJECT_EX, offsetof(struct stream, loop), READONLY, NULL},
    {"party", T_OBJECT_EX, offsetof(struct stream, party), READONLY, NULL},
    {"task", T_OBJECT, offsetof(struct stream, task), 0, NULL},
    {"received", T_ULONGLONG, offsetof(struct stream, received), 0, NULL},
    {"row", T_INT, offsetof(struct stream, row), 0, NULL},
    {"sent", T_ULONGLONG, offsetof(struct stream, sent), 0, NULL},
    {"step", T_PYSSIZET, offsetof(struct stream, step), READONLY, NULL},
    {"heard", T_OBJECT, offsetof(struct stream, heard), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef stream_methods[] = {
    {"read", stream_read, METH_O, "read(limit)"},
    {"write", stream_write, METH_O, "write(data)"},
    {"wait", stream_wait, METH_O, "wait(events)"},
    {"exchange", FAST(exchange), "exchange(limit, steps)"},
    {"ready", ready, METH_O, "ready(mask)"},
    {"reach", reach, METH_NOARGS, "reach(): connect now, if that was put off."},
    {"hand_over", stream_hand_over, METH_NOARGS,
     "Give away the descriptor, the TLS connection, and the events that the descriptor is watched for."},
    {"close", stream_close, METH_NOARGS, "Close at once."},
    {NULL, NULL, 0, NULL},
};

static PyAsyncMethods stream_async = {.am_await = stream_self, .am_send = stream_send};

PyTypeObject stream_type = {
    COLLECTED_TYPE("BaseStream", stream, "A byte stream over a descriptor.", Py_TPFLAGS_BASETYPE),
    .tp_new = PyType_GenericNew,
    .tp_init = stream_init,
    .tp_as_async = &stream_async,
    .tp_iter = stream_self,
    .tp_iternext = stream_next,
    .tp_members = stream_members,
    .tp_getset = stream_properties,
    .tp_methods = stream_methods,
};
