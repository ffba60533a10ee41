/* The ids of sessions; mail/session_id.py has the same in Python. */

#include "mail.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Gives the ids of the sessions of one process. */
struct identifier {
    PyObject_HEAD
    double began; /* ms since the epoch */
    uint64_t process;
};

int is_identifier(PyObject *object)
{
    return Py_IS_TYPE(object, &identifier_type);
}

int identify(PyObject *identifier, double accepted, PyObject *number, char *text)
{
    struct identifier *self = (struct identifier *) identifier;
    struct session_id id;
    uint64_t low;
    int i;

    if (!take_mask(number, &low)) {
        return 0;
    }
    id = session_id_of(self->began, self->process, accepted, low);
    for (i = 0; i < SESSION_ID_LENGTH / 2; i++) {
        text[i] = alphabet[id.time >> (42 - 6 * i) & 63];
        text[i + SESSION_ID_LENGTH / 2] = alphabet[id.origin >> (42 - 6 * i) & 63];
    }
    return 1;
}

static PyObject *identifier_call(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    char id[SESSION_ID_LENGTH];
    PyObject *number;
    double accepted;

    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        return PyErr_Format(PyExc_TypeError, "no keywords are wanted");
    }
    if (!PyArg_ParseTuple(arguments, "dO", &accepted, &number) || !identify(self, accepted, number, id)) {
        return NULL;
    }
    return PyBytes_FromStringAndSize(id, sizeof(id));
}

static PyObject *identifier_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    struct identifier *self;
    PyObject *process;
    double began;
    uint64_t low;

    if (!PyArg_ParseTuple(arguments, "dO", &began, &process) || !take_mask(process, &low)) {
        return NULL;
    }
    self = (struct identifier *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->began = began;
        self->process = low;
    }
    return (PyObject *) self;
}

PyTypeObject identifier_type = {
    TYPE("Identifier", identifier, "Identifier(began, process): gives the ids of the sessions of a process.", 0),
    .tp_call = identifier_call,
    .tp_new = identifier_new,
};
