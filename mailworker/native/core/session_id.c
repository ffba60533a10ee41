/* The ids of sessions; mail/session_id.py has the same in Python. */

#include "core.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Writes the id of a session; see `packed_id`. */
static void pack(char *id, double began, uint64_t process, double accepted, uint64_t number)
{
    uint64_t time = (uint64_t) (int64_t) (began + accepted * 1000);
    uint64_t first = time & 0xFFFFFFFFFFFF, last = (process & 0xFFFF) << 32 | (number & 0xFFFFFFFF);
    int i;

    for (i = 0; i < SESSION_ID_LENGTH / 2; i++) {
        id[i] = alphabet[first >> (42 - 6 * i) & 63];
        id[i + SESSION_ID_LENGTH / 2] = alphabet[last >> (42 - 6 * i) & 63];
    }
}

static PyObject *packed_id(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    char id[SESSION_ID_LENGTH];
    uint64_t process, number;
    double began, accepted;

    if (!counted(given, 4) || !take_real(arguments[0], &began) || !take_mask(arguments[1], &process) ||
        !take_real(arguments[2], &accepted) || !take_mask(arguments[3], &number)) {
        return NULL;
    }
    pack(id, began, process, accepted, number);
    return PyBytes_FromStringAndSize(id, sizeof(id));
}

PyMethodDef session_id_functions[] = {
    {"packed_id", FAST(packed_id), "packed_id(began, process, accepted, number): the bytes of a session's id."},
    {NULL, NULL, 0, NULL},
};

/* Gives the ids of the sessions of one process. */
struct identifier {
    PyObject_HEAD
    vectorcallfunc call;
    double began; /* ms since the epoch */
    uint64_t process;
};

int is_identifier(PyObject *object)
{
    return Py_IS_TYPE(object, &identifier_type);
}

int identify(PyObject *identifier, double accepted, PyObject *number, char *id)
{
    struct identifier *self = (struct identifier *) identifier;
    uint64_t low;

    if (!take_mask(number, &low)) {
        return 0;
    }
    pack(id, self->began, self->process, accepted, low);
    return 1;
}

static PyObject *identifier_call(PyObject *self, PyObject *const *arguments, size_t given, PyObject *keywords)
{
    char id[SESSION_ID_LENGTH];
    double accepted;

    if (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0) {
        return PyErr_Format(PyExc_TypeError, "no keywords are wanted");
    }
    if (!counted(PyVectorcall_NARGS(given), 2) || !take_real(arguments[0], &accepted) ||
        !identify(self, accepted, arguments[1], id)) {
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
        self->call = identifier_call;
        self->began = began;
        self->process = low;
    }
    return (PyObject *) self;
}

PyTypeObject identifier_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._core.Identifier",
    .tp_doc = "Identifier(began, process): gives the ids of the sessions of a process.",
    .tp_basicsize = sizeof(struct identifier),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(struct identifier, call),
    .tp_call = PyVectorcall_Call,
    .tp_new = identifier_new,
};
