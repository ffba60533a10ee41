/*
 * A descriptor that a task reads from and writes to as if it blocked. It is its own awaitable, since a task waits for
 * one thing at a time. What goes wrong, TLS and the selector stay Python's: this part calls methods of the loop, and of
 * the Python class that is made of Stream. _stream.pyi has the types.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "exception.h"
#include "stream.h"
#include "timed.h"

#include <math.h>
#include <stddef.h>
#include <structmember.h>
#include <unistd.h>

static struct {
    PyObject *cancel_deadline, *forget, *free, *resume, *set_deadline;
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

/* The same for whoever goes by the iterator's protocol, such as a profiler. */
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

/* Stops to watch while nobody waits. */
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

/* Goes on as far as that is possible without the task, which is resumed when there is a result for it. */
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

/* Calls `method` of `object`, if there is an object; whether that went well. */
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
    {&names.forget, "forget"},
    {&names.free, "free"},
    {&names.resume, "resume"},
    {&names.set_deadline, "set_deadline"},
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
    if (!prepare_actions() || find_timed() < 0) {
        return NULL;
    }
    module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddType(module, &stream_type) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
