/*
 * A descriptor that a task reads from and writes to as if it blocked. It is its own awaitable, since a task waits for
 * one thing at a time. Failures, TLS and the selector stay in Python: this module calls methods of the loop
 * and of the class that Python derives from Stream. _stream.pyi has the types.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "events.h"
#include "exception.h"
#include "reply.h"
#include "sending.h"
#include "timed.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <structmember.h>
#include <unistd.h>

/* Bytes of one read at most, which are on the stack: a stream that waits holds no buffer. */
#define PAGE_SIZE 4096

struct stream {
    PyObject_HEAD
    double deadline;
    int descriptor;
    int watched; /* what the selector watches for; 0: it is not registered */
    PyObject *loop;
    PyObject *party;
    PyObject *tls;    /* None without TLS */
    PyObject *closed; /* NULL once it is closed or given away */
    PyObject *task;   /* that waits; NULL or None where none does */
    unsigned long long received; /* bytes that were read, in TLS those of its data */
    unsigned long long sent;

    /* Of the action under way. */
    PySendResult (*action)(struct stream *self, PyObject **result);
    PyObject *outcome;    /* for the task that is being resumed */
    int flags;            /* of recv */
    Py_ssize_t limit;     /* bytes of one read */
    int events;           /* of an action that only waits */
    int waited;           /* whether it has waited */
    PyObject *data;       /* to be written, and how much of it the system has taken */
    Py_ssize_t offset;
    PyObject *steps;      /* of an exchange, and the one at hand */
    Py_ssize_t step;
};

static struct {
    PyObject *cancel_deadline, *change, *forget, *free, *read_tls, *refused, *resume, *set_deadline, *watch, *write_tls;
} names;

/* mailworker.native.core._timers.Timed */
static PyTypeObject *timed_class;

static int stream_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char *keys[] = {"loop", "descriptor", "party", "closed", "watched", NULL};
    struct stream *self = (struct stream *) object;
    PyObject *loop, *party, *closed;

    self->watched = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OiOO|$i", keys, &loop, &self->descriptor, &party, &closed,
                                     &self->watched)) {
        return -1;
    }
    self->deadline = INFINITY;
    Py_XSETREF(self->loop, Py_NewRef(loop));
    Py_XSETREF(self->party, Py_NewRef(party));
    Py_XSETREF(self->tls, Py_NewRef(Py_None));
    Py_XSETREF(self->closed, Py_NewRef(closed));
    return 0;
}

static int stream_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct stream *self = (struct stream *) object;

    Py_VISIT(self->loop);
    Py_VISIT(self->party);
    Py_VISIT(self->tls);
    Py_VISIT(self->closed);
    Py_VISIT(self->task);
    Py_VISIT(self->data);
    Py_VISIT(self->steps);
    Py_VISIT(self->outcome);
    return 0;
}

static int stream_clear(PyObject *object)
{
    struct stream *self = (struct stream *) object;

    Py_CLEAR(self->outcome);
    Py_CLEAR(self->steps);
    Py_CLEAR(self->data);
    Py_CLEAR(self->task);
    Py_CLEAR(self->closed);
    Py_CLEAR(self->tls);
    Py_CLEAR(self->party);
    Py_CLEAR(self->loop);
    return 0;
}

static void stream_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    (void) stream_clear(object);
    Py_TYPE(object)->tp_free(object);
}

/*
 * Actions: a method begins one and gives the stream itself, to be awaited. The stream then goes on with it, as often as
 * it has to wait.
 */

/* Raises `error`, which a method of Python has made; NULL where that method raised something itself. */
static void raise_error(PyObject *error)
{
    if (error != NULL) {
        PyErr_SetObject((PyObject *) Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

/* Replaces the selector's error by the one that the class in Python makes of it. */
static void refuse_watch(struct stream *self)
{
    PyObject *error;

    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        error = take_exception();
        raise_error(PyObject_CallMethodOneArg((PyObject *) self, names.refused, error));
        Py_DECREF(error);
    }
}

/* Watches for `events`, unless it does so already; 0 with an exception. */
static int watch(struct stream *self, int events)
{
    PyObject *arguments[] = {self->loop, NULL, NULL, (PyObject *) self}, *done = NULL;

    if (self->watched == events) {
        return 1;
    }
    arguments[1] = PyLong_FromLong(self->descriptor);
    arguments[2] = PyLong_FromLong(events);
    if (arguments[1] != NULL && arguments[2] != NULL) {
        done = PyObject_VectorcallMethod(self->watched ? names.change : names.watch, arguments, 4, NULL);
    }
    Py_XDECREF(arguments[1]);
    Py_XDECREF(arguments[2]);
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

/* After a failed call on the descriptor: waits if it would have blocked, else raises what Python makes of the error. */
static PySendResult failed(struct stream *self, const char *call, int events, PyObject **result)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return wait_for(self, events, result);
    }
    raise_error(PyObject_CallMethod((PyObject *) self, "_lost", "si", call, errno));
    return PYGEN_ERROR;
}

/* A read always waits first, so that other streams get their turn. */
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
        int usual;

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
        usual = is_expected(reply, PyTuple_GET_ITEM(self->steps, self->step));
        if (!usual || self->step + 1 == PyTuple_GET_SIZE(self->steps)) {
            *result = Py_BuildValue("nN", self->step + usual, reply);
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

static PyObject *stream_wait(PyObject *object, PyObject *events)
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

/* Calls the method of Python that does it over TLS. */
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

static PyObject *stream_read(PyObject *object, PyObject *limit)
{
    struct stream *self = (struct stream *) object;

    return self->tls == Py_None ? begin_reading(self, limit, 0) : by_tls(self, names.read_tls, limit);
}

static PyObject *stream_peek(PyObject *object, PyObject *limit)
{
    return begin_reading((struct stream *) object, limit, MSG_PEEK);
}

static PyObject *stream_write(PyObject *object, PyObject *data)
{
    struct stream *self = (struct stream *) object;

    if (!PyBytes_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "only bytes can be written");
        return NULL;
    }
    if (self->tls != Py_None) {
        return by_tls(self, names.write_tls, data);
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

static PyObject *stream_exchange(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
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

static PySendResult stream_send(PyObject *object, PyObject *Py_UNUSED(value), PyObject **result)
{
    struct stream *self = (struct stream *) object;

    *result = self->outcome;
    self->outcome = NULL;
    if (*result != NULL) {
        return PYGEN_RETURN;
    }
    if (self->action == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "nothing has been begun that could be waited for");
        return PYGEN_ERROR;
    }
    return self->action(self, result);
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

static PyObject *stream_park(PyObject *object, PyObject *task)
{
    struct stream *self = (struct stream *) object;
    PyObject *deadline, *done;

    Py_XSETREF(self->task, Py_NewRef(task));
    if (PyObject_TypeCheck(task, timed_class) && ((struct timed *) task)->deadline == self->deadline) {
        Py_RETURN_NONE;
    }
    if (self->deadline == (double) INFINITY) {
        return PyObject_CallMethodOneArg(self->loop, names.cancel_deadline, task);
    }
    deadline = PyFloat_FromDouble(self->deadline);
    if (deadline == NULL) {
        return NULL;
    }
    done = PyObject_CallMethodObjArgs(self->loop, names.set_deadline, task, deadline, NULL);
    Py_DECREF(deadline);
    return done;
}

/* Stops watching: no task waits. */
static PyObject *unwatch(struct stream *self)
{
    self->watched = 0;
    return PyObject_CallMethod(self->loop, "unwatch", "i", self->descriptor);
}

static PyObject *resume(struct stream *self, PyObject *error)
{
    PyObject *task = self->task, *done;

    self->task = NULL;
    self->action = NULL;
    done = error == NULL ? PyObject_CallMethodNoArgs(task, names.resume)
                         : PyObject_CallMethodOneArg(task, names.resume, error);
    Py_DECREF(task);
    Py_XDECREF(error);
    return done;
}

/* Continues the action. The task is resumed once there is a result. */
static PyObject *stream_ready(PyObject *object, PyObject *Py_UNUSED(mask))
{
    struct stream *self = (struct stream *) object;
    PyObject *result = NULL;
    PySendResult status;

    if (!self->watched) {
        Py_RETURN_NONE; /* closed in this very round */
    }
    if (self->task == NULL || self->task == Py_None) {
        return unwatch(self);
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
    Py_RETURN_NONE;
}

static PyObject *stream_hand_over(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct stream *self = (struct stream *) object;
    PyObject *given = Py_BuildValue("iOi", self->descriptor, self->tls, self->watched);

    if (given != NULL) {
        Py_CLEAR(self->closed);
        Py_SETREF(self->tls, Py_NewRef(Py_None));
        self->watched = 0;
    }
    return given;
}

/* Calls `method` of `object`; 0 with an exception. */
static int tell(PyObject *object, PyObject *method, PyObject *argument)
{
    PyObject *done = argument == NULL ? PyObject_CallMethodNoArgs(object, method)
                                      : PyObject_CallMethodOneArg(object, method, argument);

    Py_XDECREF(done);
    return done != NULL;
}

static PyObject *stream_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct stream *self = (struct stream *) object;
    PyObject *closed = self->closed, *tls = self->tls, *number, *done = NULL;
    int watched = self->watched;

    if (closed == NULL) {
        Py_RETURN_NONE;
    }
    self->closed = NULL;
    self->tls = Py_NewRef(Py_None);
    self->watched = 0;
    number = PyLong_FromLong(self->descriptor);
    if (number != NULL && (!watched || tell(self->loop, names.forget, number)) &&
        (tls == Py_None || tell(tls, names.free, NULL))) {
        close(self->descriptor);
        done = PyObject_CallNoArgs(closed);
    }
    Py_XDECREF(number);
    Py_DECREF(tls);
    Py_DECREF(closed);
    return done;
}

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
    {"tls", T_OBJECT, offsetof(struct stream, tls), 0, NULL},
    {"task", T_OBJECT, offsetof(struct stream, task), 0, NULL},
    {"received", T_ULONGLONG, offsetof(struct stream, received), 0, NULL},
    {"sent", T_ULONGLONG, offsetof(struct stream, sent), 0, NULL},
    {"step", T_PYSSIZET, offsetof(struct stream, step), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef stream_methods[] = {
    {"read", stream_read, METH_O, "read(limit)"},
    {"peek", stream_peek, METH_O, "peek(limit)"},
    {"write", stream_write, METH_O, "write(data)"},
    {"wait", stream_wait, METH_O, "wait(events)"},
    {"exchange", (PyCFunction) (void (*)(void)) stream_exchange, METH_FASTCALL, "exchange(limit, steps)"},
    {"park", stream_park, METH_O, "park(task)"},
    {"ready", stream_ready, METH_O, "ready(mask)"},
    {"hand_over", stream_hand_over, METH_NOARGS, "Give away what the stream was made of."},
    {"close", stream_close, METH_NOARGS, "Close at once."},
    {NULL, NULL, 0, NULL},
};

static PyAsyncMethods stream_async = {.am_await = stream_self, .am_send = stream_send};

static PyTypeObject stream_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._stream.Stream",
    .tp_doc = "A byte stream over a descriptor.",
    .tp_basicsize = sizeof(struct stream),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = stream_init,
    .tp_traverse = stream_traverse,
    .tp_clear = stream_clear,
    .tp_dealloc = stream_dealloc,
    .tp_as_async = &stream_async,
    .tp_iter = stream_self,
    .tp_iternext = stream_next,
    .tp_members = stream_members,
    .tp_methods = stream_methods,
};

static const struct {
    PyObject **name;
    const char *text;
} texts[] = {
    {&names.cancel_deadline, "cancel_deadline"},
    {&names.change, "change"},
    {&names.forget, "forget"},
    {&names.free, "free"},
    {&names.read_tls, "_read_tls"},
    {&names.refused, "_refused"},
    {&names.resume, "resume"},
    {&names.set_deadline, "set_deadline"},
    {&names.watch, "watch"},
    {&names.write_tls, "_write_tls"},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mailworker.native.core._stream",
    .m_size = -1,
};

static int find_timed(void)
{
    PyObject *module = PyImport_ImportModule("mailworker.native.core._timers");

    if (module == NULL) {
        return -1;
    }
    timed_class = (PyTypeObject *) PyObject_GetAttrString(module, "Timed");
    Py_DECREF(module);
    return timed_class == NULL ? -1 : 0;
}

PyMODINIT_FUNC PyInit__stream(void)
{
    size_t i;
    PyObject *module;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i].name = PyUnicode_InternFromString(texts[i].text);
        if (*texts[i].name == NULL) {
            return NULL;
        }
    }
    if (find_timed() < 0) {
        return NULL;
    }
    module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddType(module, &stream_type) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
