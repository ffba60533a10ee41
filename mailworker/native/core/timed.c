/* Timed: what timers file. */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "timed.h"

#include <math.h>
#include <stddef.h>
#include <structmember.h>

static PyObject *timed_new(PyTypeObject *type, PyObject *Py_UNUSED(arguments), PyObject *Py_UNUSED(keywords))
{
    struct timed *self = (struct timed *) type->tp_alloc(type, 0);

    if (self != NULL) {
        self->deadline = INFINITY;
    }
    return (PyObject *) self;
}

static PyObject *timed_expire(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    PyErr_SetNone(PyExc_NotImplementedError);
    return NULL;
}

static PyObject *timed_bucket(PyObject *object, void *Py_UNUSED(closure))
{
    struct timed *self = (struct timed *) object;

    return PyFloat_FromDouble(self->bucket == NULL ? (double) INFINITY : self->bucket->due);
}

static PyGetSetDef timed_properties[] = {
    {"bucket", timed_bucket, NULL, "When its bucket is due, inf for none.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef timed_members[] = {
    {"deadline", T_DOUBLE, offsetof(struct timed, deadline), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef timed_methods[] = {
    {"expire", timed_expire, METH_NOARGS, "Called once when the deadline has passed."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject timed_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._timers.Timed",
    .tp_doc = "Something with a deadline, in seconds of the monotonic clock, inf for none.",
    .tp_basicsize = sizeof(struct timed),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = timed_new,
    .tp_members = timed_members,
    .tp_getset = timed_properties,
    .tp_methods = timed_methods,
};
