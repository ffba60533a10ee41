/* Names, arguments and errors of Python, for all files of the module. */

#include "python.h"

struct names names;

int counted(Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", wanted, given);
    }
    return given == wanted;
}

int take_int(PyObject *argument, int *value)
{
    long number = PyLong_AsLong(argument);

    *value = (int) number;
    if (*value != number) {
        return raised(PyExc_OverflowError, "too large for an int of C");
    }
    return !(number == -1 && PyErr_Occurred());
}

int take_mask(PyObject *argument, uint64_t *value)
{
    *value = PyLong_AsUnsignedLongLongMask(argument);
    return !(*value == UINT64_MAX && PyErr_Occurred());
}

int take_real(PyObject *argument, double *value)
{
    *value = PyFloat_AsDouble(argument);
    return !(*value == -1.0 && PyErr_Occurred());
}

PyTypeObject *take_kind(PyObject *object, PyTypeObject *base)
{
    PyObject *kind = PyObject_GetAttr(object, names.kind);

    if (kind != NULL && !(PyType_Check(kind) && PyType_IsSubtype((PyTypeObject *) kind, base))) {
        PyErr_Format(PyExc_TypeError, "the kind is no %s", base->tp_name);
        Py_CLEAR(kind);
    }
    return (PyTypeObject *) kind;
}

PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *kind, *error, *trace;

    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
    }
    Py_DECREF(kind);
    Py_XDECREF(trace);
    return error;
#endif
}

void raise_error(PyObject *error)
{
    if (error != NULL) {
        PyErr_SetObject((PyObject *) Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

#define MAKE(name) (names.name = PyUnicode_InternFromString(#name)) != NULL &&
int make_names(void)
{
    return NAMES(MAKE)(names.no_address = PyUnicode_InternFromString("unix:")) != NULL;
}
