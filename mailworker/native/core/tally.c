/* Counting in words that other processes read; see event/tally.py. */

#include "core.h"

#include <stdint.h>

#define MICROSECONDS 1e6
#define LONGEST 1e12 /* seconds */

struct tally {
    PyObject_HEAD
    Py_buffer row; /* its obj is NULL before there is one */
};

static int tally_init(PyObject *object, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    struct tally *self = (struct tally *) object;
    PyObject *row;

    if (!PyArg_ParseTuple(arguments, "O", &row)) {
        return -1;
    }
    PyBuffer_Release(&self->row);
    return PyObject_GetBuffer(row, &self->row, PyBUF_WRITABLE);
}

static void tally_dealloc(PyObject *object)
{
    PyBuffer_Release(&((struct tally *) object)->row);
    Py_TYPE(object)->tp_free(object);
}

static int take_place(PyObject *argument, Py_ssize_t *place)
{
    *place = PyLong_AsSsize_t(argument);
    return !(*place == -1 && PyErr_Occurred());
}

/* Adds in one store, which no reader sees half of. */
static int gain_one(struct tally *self, Py_ssize_t place, uint64_t amount)
{
    uint64_t *word;

    if (place < 0 || place >= self->row.len / (Py_ssize_t) sizeof(*word)) {
        PyErr_SetString(PyExc_IndexError, "no such word");
        return 0;
    }
    word = (uint64_t *) self->row.buf + place;
    __atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
    return 1;
}

static PyObject *add(PyObject *object, PyObject *argument)
{
    Py_ssize_t place;

    return none_if(take_place(argument, &place) && gain_one((struct tally *) object, place, 1));
}

static PyObject *gain(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Py_ssize_t place, i;

    if (count < 1) {
        (void) counted(count, 1);
        return NULL;
    }
    if (!take_place(arguments[0], &place)) {
        return NULL;
    }
    for (i = 1; i < count; i++) {
        uint64_t amount = PyLong_AsUnsignedLongLongMask(arguments[i]);

        if ((amount == UINT64_MAX && PyErr_Occurred()) || !gain_one((struct tally *) object, place + i - 1, amount)) {
            return NULL;
        }
    }
    return none_if(1);
}

/* What one attribute of a connection counts. */
static int attribute(PyObject *connection, PyObject *name, unsigned long long *bytes)
{
    PyObject *number = PyObject_GetAttr(connection, name);

    *bytes = number == NULL ? 0 : PyLong_AsUnsignedLongLongMask(number);
    Py_XDECREF(number);
    return !PyErr_Occurred();
}

static int bytes_of(PyObject *connection, unsigned long long *received, unsigned long long *sent)
{
    if (PyObject_TypeCheck(connection, &stream_type)) {
        *received = ((struct stream *) connection)->received;
        *sent = ((struct stream *) connection)->sent;
        return 1;
    }
    if (PyObject_TypeCheck(connection, &side_type)) {
        side_moved(connection, received, sent);
        return 1;
    }
    return attribute(connection, names.received, received) && attribute(connection, names.sent, sent);
}

static PyObject *flow(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct tally *self = (struct tally *) object;
    unsigned long long received, sent;
    Py_ssize_t place, i;

    if (count < 1) {
        (void) counted(count, 1);
        return NULL;
    }
    if (!take_place(arguments[0], &place)) {
        return NULL;
    }
    for (i = 1; i < count; i++, place += 2) {
        if (arguments[i] == Py_None) {
            continue;
        }
        if (!bytes_of(arguments[i], &received, &sent) || !gain_one(self, place, received) ||
            !gain_one(self, place + 1, sent)) {
            return NULL;
        }
    }
    return none_if(1);
}

/* The first of `bounds` that is no less than `seconds`, their number where there is none; -1 with an exception. */
static Py_ssize_t bucket_of(PyObject *bounds, double seconds)
{
    Py_ssize_t i, size = PyTuple_GET_SIZE(bounds);

    for (i = 0; i < size; i++) {
        PyObject *bound = PyTuple_GET_ITEM(bounds, i);

        if (!PyFloat_CheckExact(bound)) {
            PyErr_SetString(PyExc_TypeError, "a bound is no float");
            return -1;
        }
        if (seconds <= PyFloat_AS_DOUBLE(bound)) {
            break;
        }
    }
    return i;
}

static PyObject *observe(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct tally *self = (struct tally *) object;
    Py_ssize_t place, bucket, i;
    double seconds;

    if (count < 3) {
        (void) counted(count, 3);
        return NULL;
    }
    if (!take_place(arguments[0], &place)) {
        return NULL;
    }
    if (!PyTuple_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "bounds are no tuple");
        return NULL;
    }
    seconds = PyFloat_AsDouble(arguments[2]);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    seconds = seconds > 0.0 && seconds < LONGEST ? seconds : 0.0;
    bucket = bucket_of(arguments[1], seconds);
    if (bucket < 0 || !gain_one(self, place + bucket, 1) ||
        !gain_one(self, place + PyTuple_GET_SIZE(arguments[1]) + 1, (uint64_t) (seconds * MICROSECONDS))) {
        return NULL;
    }
    for (i = 3; i < count; i++) {
        if (!take_place(arguments[i], &place) || !gain_one(self, place, 1)) {
            return NULL;
        }
    }
    return none_if(1);
}

static PyMethodDef tally_methods[] = {
    {"add", add, METH_O, "add(place): one more."},
    {"gain", FAST(gain), "gain(place, *amounts): add these to as many words."},
    {"flow", FAST(flow), "flow(place, *connections): add what they have received and sent."},
    {"observe", FAST(observe), "observe(place, bounds, seconds, *also): sort a time into a histogram."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject tally_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._core.Tally",
    .tp_doc = "Counts in words that other processes read.",
    .tp_basicsize = sizeof(struct tally),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = tally_init,
    .tp_dealloc = tally_dealloc,
    .tp_methods = tally_methods,
};
