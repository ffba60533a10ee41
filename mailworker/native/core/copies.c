/* Copies of pattern objects; see event/copies.py. */

#include "python.h"

/* Whether objects of the type hold nothing but slots of Python classes: references, one after the other. */
static int has_slots_alone(PyTypeObject *type)
{
    if (type->tp_itemsize != 0 || type->tp_dictoffset != 0 || type->tp_weaklistoffset != 0) {
        return 0;
    }
    while (type != &PyBaseObject_Type && PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        type = type->tp_base;
    }
    return type == &PyBaseObject_Type;
}

PyObject *copied(PyObject *Py_UNUSED(module), PyObject *pattern)
{
    PyTypeObject *type = Py_TYPE(pattern);
    Py_ssize_t offset;
    PyObject *made;

    if (!has_slots_alone(type)) {
        return PyErr_Format(PyExc_TypeError, "%s has more than slots", type->tp_name);
    }
    made = type->tp_alloc(type, 0);
    if (made == NULL) {
        return NULL;
    }
    for (offset = PyBaseObject_Type.tp_basicsize; offset < type->tp_basicsize;
         offset += (Py_ssize_t) sizeof(PyObject *)) {
        PyObject *field = *(PyObject **) ((char *) pattern + offset);

        Py_XINCREF(field);
        *(PyObject **) ((char *) made + offset) = field;
    }
    return made;
}

PyMethodDef copy_functions[] = {
    {"copied", copied, METH_O, "copied(pattern): a new object of the same class, whose fields hold the same objects."},
    {NULL, NULL, 0, NULL},
};
