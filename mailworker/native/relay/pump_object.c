/* The Python object of a pump; see event/relay.py. */

#include "shm.h"
#include "side.h"

static PyObject *pump_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *loop, *rows = Py_None;
    Py_ssize_t limit;
    int watching = 0, limiting = 0;
    struct pump_object *self;

    if (!PyArg_ParseTuple(arguments, "On|ppO", &loop, &limit, &watching, &limiting, &rows) || !is_loop(loop)) {
        return NULL;
    }
    if (rows != Py_None && !PyObject_TypeCheck(rows, &rows_type)) {
        return PyErr_Format(PyExc_TypeError, "rows are wanted");
    }
    self = (struct pump_object *) type->tp_alloc(type, 0);
    if (self != NULL && !pump_open(&self->pump, (size_t) limit, watching, limiting)) {
        Py_CLEAR(self);
        return PyErr_NoMemory();
    }
    if (self != NULL) {
        self->loop = (struct loop *) Py_NewRef(loop);
        self->rows = rows == Py_None ? NULL : (struct rows *) Py_NewRef(rows);
    }
    return (PyObject *) self;
}

static PyObject *close_pump(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct pump_object *self = (struct pump_object *) object;

    pump_close(&self->pump);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->rows);
    Py_RETURN_NONE;
}

static void free_pump(PyObject *object)
{
    Py_XDECREF(close_pump(object, NULL));
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef pump_methods[] = {
    {"close", close_pump, METH_NOARGS, "close(): free memory and descriptors; no side may be left."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject pump_type = {
    TYPE("Pump", pump_object, "The buffers by which the sides of a loop move bytes.", 0),
    .tp_new = pump_new,
    .tp_dealloc = free_pump,
    .tp_methods = pump_methods,
};
