/*
 * A side from which no more is read than the relay allows. Where nothing is allowed, the side is not watched, and its
 * peer's data stays in the socket, until the relay calls `resume`.
 */

#include "relay.h"
#include "side.h"

int limited_most(struct limited_side *limited, struct pump *pump)
{
    struct side *side = &limited->watched.side;
    PyObject *allowed;

    if (limited->allowance <= 0) {
        allowed = PyObject_CallMethodOneArg(side->relay, names.allow, (PyObject *) side);
        if (allowed == NULL) {
            return -1;
        }
        limited->allowance = PyLong_AsLongLong(allowed);
        Py_DECREF(allowed);
        if (limited->allowance < 0) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_ValueError, "less than nothing is allowed");
            }
            return -1;
        }
    }
    if (!is_open(side) || limited->allowance == 0) {
        side->source = 0;
        return 0;
    }
    pump->most = (size_t) limited->allowance;
    return 1;
}

static PyObject *limited_resume(PyObject *object, PyObject *argument)
{
    struct limited_side *limited = (struct limited_side *) object;
    long long allowance = PyLong_AsLongLong(argument);

    if (allowance == -1 && PyErr_Occurred()) {
        return NULL;
    }
    limited->allowance = allowance;
    limited->watched.side.source = READ;
    return none_if(side_ready(object, READ));
}

static PyMethodDef limited_methods[] = {
    {"resume", limited_resume, METH_O, "resume(allowance): go on, and read up to `allowance` bytes."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject limited_type = {
    TYPE("LimitedSide", limited_side, "A side from which no more is read than the relay allows.", 0),
    .tp_base = &watched_type,
    .tp_new = side_new,
    .tp_dealloc = side_free,
    .tp_methods = limited_methods,
};
