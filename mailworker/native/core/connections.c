/*
 * Counts connections and makes their streams: each session has three of them. Errors are made in Python, by methods of
 * the class derived from this one.
 */

#include "core.h"

#include <math.h>
#include <unistd.h>

struct connections {
    PyObject_HEAD
    struct loop *loop;
    PyTypeObject *kind; /* of streams: a class derived from BaseStream, without fields of its own */
    PyObject *unused; /* called when the last one is released */
    Py_ssize_t in_use;
    Py_ssize_t limit;
    long long next; /* the number of the next connection */
    long long step;
};

static int connections_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char *keys[] = {"loop", "limit", "unused", "first", "step", NULL};
    struct connections *self = (struct connections *) object;
    PyObject *loop, *unused = Py_None;
    PyTypeObject *kind;

    self->next = self->step = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "On|OLL", keys, &loop, &self->limit, &unused, &self->next,
                                     &self->step) ||
        !is_loop(loop)) {
        return -1;
    }
    kind = take_kind(object, &stream_type);
    if (kind == NULL) {
        return -1;
    }
    Py_XSETREF(self->kind, kind);
    Py_XSETREF(self->loop, (struct loop *) Py_NewRef(loop));
    Py_XSETREF(self->unused, Py_NewRef(unused));
    return 0;
}

#define REFERENCES(REF) REF(loop) REF(kind) REF(unused)
COLLECTED(connections, REFERENCES)

int connections_release(PyObject *object)
{
    struct connections *self = (struct connections *) object;

    self->in_use--;
    /* `unused` is NULL where the collector has cleared this before a stream that goes with it. */
    return self->in_use || self->unused == NULL || self->unused == Py_None || done(PyObject_CallNoArgs(self->unused));
}

struct loop *connections_loop(PyObject *object)
{
    return ((struct connections *) object)->loop;
}

int connections_free(PyObject *object)
{
    return ((struct connections *) object)->in_use < ((struct connections *) object)->limit;
}

long long connections_take(PyObject *object)
{
    struct connections *self = (struct connections *) object;
    long long number = self->next;

    if (self->in_use >= self->limit) {
        raise_error(PyObject_CallMethodNoArgs(object, names._exhausted));
        return -1;
    }
    self->in_use++;
    self->next += self->step;
    return number;
}

static PyObject *take(PyObject *object, PyObject *Py_UNUSED(none))
{
    long long number = connections_take(object);
    PyObject *result = number < 0 ? NULL : PyLong_FromLongLong(number);

    if (number >= 0 && result == NULL) {
        ((struct connections *) object)->in_use--;
    }
    return result;
}

static PyObject *release(PyObject *object, PyObject *Py_UNUSED(none))
{
    return none_if(connections_release(object));
}

static PyObject *new_stream(struct connections *self, int descriptor, PyObject *party, int watched)
{
    return stream_new(self->kind, self->loop, descriptor, party, (PyObject *) self, watched);
}

PyObject *connections_stream(PyObject *object, int descriptor, PyObject *party)
{
    return new_stream((struct connections *) object, descriptor, party, 0);
}

static PyObject *stream(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    int descriptor, watched = 0;
    PyObject *made;

    if (given < 2 || given > 3) {
        return PyErr_Format(PyExc_TypeError, "%zd arguments, not 2 or 3", given);
    }
    if (!take_int(arguments[0], &descriptor) || (given == 3 && !take_int(arguments[2], &watched))) {
        return NULL;
    }
    made = new_stream((struct connections *) object, descriptor, arguments[1], watched);
    if (made == NULL) { /* the caller has given both away */
        close(descriptor);
        ((struct connections *) object)->in_use--;
    }
    return made;
}

static PyObject *dial(struct connections *self, PyObject *address, PyObject *party)
{
    struct destination destination = {0};
    const char *call;
    int number, descriptor = dialled(address, &destination, &call, &number);

    if (descriptor >= 0) {
        PyObject *made = new_stream(self, descriptor, party, 0);

        if (made == NULL) {
            close(descriptor);
        } else if (destination.length > 0) {
            ((struct stream *) made)->destination = destination;
            ((struct stream *) made)->address = Py_NewRef(address);
        }
        return made;
    }
    if (call != NULL) {
        raise_error(PyObject_CallMethod((PyObject *) self, "_failed", "OOsi", address, party, call, number));
    }
    return NULL;
}

static PyObject *connect_to(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct connections *self = (struct connections *) object;
    double timeout = INFINITY;
    PyObject *made;

    if (given < 2 || given > 3) {
        return PyErr_Format(PyExc_TypeError, "%zd arguments, not 2 or 3", given);
    }
    if ((given == 3 && !take_real(arguments[2], &timeout)) || connections_take(object) < 0) {
        return NULL;
    }
    made = dial(self, arguments[0], arguments[1]);
    if (made != NULL) {
        ((struct stream *) made)->deadline = self->loop->now + timeout;
    } else {
        PyObject *error = take_exception();

        if (connections_release(object)) {
            raise_error(error);
        } else {
            Py_DECREF(error);
        }
    }
    return made;
}

static PyMemberDef connections_members[] = {
    {"in_use", T_PYSSIZET, offsetof(struct connections, in_use), 0, NULL},
    {"limit", T_PYSSIZET, offsetof(struct connections, limit), READONLY, NULL},
    {"loop", T_OBJECT_EX, offsetof(struct connections, loop), READONLY, NULL},
    {"next", T_LONGLONG, offsetof(struct connections, next), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef connections_methods[] = {
    {"take", take, METH_NOARGS, "take(): count one more connection and give its number."},
    {"release", release, METH_NOARGS, "release(): count one connection fewer."},
    {"stream", FAST(stream), "stream(descriptor, party, watched=0)"},
    {"connect", FAST(connect_to), "connect(address, party, timeout=inf)"},
    {NULL, NULL, 0, NULL},
};

PyTypeObject connections_type = {
    COLLECTED_TYPE("ConnectionCounter", connections, "Makes and counts connections.", Py_TPFLAGS_BASETYPE),
    .tp_new = PyType_GenericNew,
    .tp_init = connections_init,
    .tp_members = connections_members,
    .tp_methods = connections_methods,
};
