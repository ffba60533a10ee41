/*
 * One end of a relay, and the direction that begins there: what a wake-up does where nothing out of the ordinary
 * happens, so that a line from one side to the other costs no Python but the loop's call. relay_steps.c has the steps. The bytes are
 * moved by pump.c, which is part of the module _native; the pump's address is all that this module knows of it.
 * _relay.pyi has the types.
 *
 * A side belongs to a relay, an object of Python that is told of ends, failures and bugs. The circle of both sides and
 * the relay ends with `close`: no side is ever looked at by the garbage collector, which spares each 16 bytes.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>
#include <structmember.h>

#include "events.h"
#include "exception.h"
#include "side.h"

#include <unistd.h>

/* What a call of the loop comes to: a bug ends the relay, and is nobody else's business. */
static PyObject *outcome(PyObject *relay, int fine)
{
    if (!fine && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyObject *bug = take_exception();

        fine = done(PyObject_CallMethod(relay, "abort", "O", bug));
        Py_DECREF(bug);
    }
    return fine ? Py_NewRef(Py_None) : NULL;
}

/* Runs `steps` for both sides of a relay that may close itself meanwhile. */
static PyObject *guarded(struct side *side, long mask, int (*steps)(struct side *side, struct side *other, long mask))
{
    struct side *other = (struct side *) Py_NewRef(side->other);
    PyObject *relay = Py_NewRef(side->relay), *result = outcome(relay, steps(side, other, mask));

    Py_DECREF(other);
    Py_DECREF(relay);
    return result;
}

/* Ends the circle of both sides and the relay. */
static void let_go(struct side *side)
{
    Py_CLEAR(side->relay);
    Py_CLEAR(side->tls);
    Py_CLEAR(side->other);
    Py_CLEAR(side->pending);
}

static PyObject *side_ready(PyObject *object, PyObject *argument)
{
    struct side *side = (struct side *) object;
    long mask = PyLong_AsLong(argument);

    if (mask == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (side->other == NULL || !is_open(side->other)) {
        Py_RETURN_NONE; /* closed in this very round */
    }
    return guarded(side, mask, relay_serve);
}

static PyObject *side_begin(PyObject *object, PyObject *argument)
{
    struct side *side = (struct side *) object, *other = (struct side *) argument;

    if (!Py_IS_TYPE(argument, Py_TYPE(object)) || side->other != NULL || other->other != NULL) {
        PyErr_SetString(PyExc_TypeError, "a fresh side is wanted");
        return NULL;
    }
    side->other = (struct side *) Py_NewRef(other);
    other->other = (struct side *) Py_NewRef(side);
    return guarded(side, 0, relay_begin);
}

static PyObject *side_close(PyObject *object, PyObject *Py_UNUSED(argument))
{
    struct side *side = (struct side *) object;
    int fine = 1;

    if (!is_open(side)) {
        Py_RETURN_NONE;
    }
    if (side->watched) {
        side->watched = 0;
        fine = done(PyObject_CallMethod(loop_of(side), "forget", "i", side->fd));
    }
    if (side->connection != NULL) {
        side->pump->close_notify(side->connection); /* if the peer takes it at once */
        side->connection = NULL;
        fine = done(PyObject_CallMethod(side->tls, "free", NULL)) && fine;
    }
    close(side->fd);
    side->fd = -1;
    let_go(side);
    return fine ? Py_NewRef(Py_None) : NULL;
}

static PyObject *side_closed(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!is_open((struct side *) object));
}

static PyObject *side_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *relay, *tls, *pending;
    unsigned long long pump, connection, received, sent;
    int fd, watched;
    struct side *side;

    if (!PyArg_ParseTuple(arguments, "OKiiOKSKK", &relay, &pump, &fd, &watched, &tls, &connection, &pending, &received,
                          &sent)) {
        return NULL;
    }
    side = (struct side *) type->tp_alloc(type, 0);
    if (side == NULL) {
        return NULL;
    }
    side->relay = Py_NewRef(relay);
    side->tls = Py_NewRef(tls);
    side->connection = (SSL *) (uintptr_t) connection;
    side->pump = (struct pump *) (uintptr_t) pump;
    side->received = received;
    side->sent = sent;
    side->fd = fd;
    side->watched = (unsigned char) watched;
    side->source = READ;
    if (PyBytes_GET_SIZE(pending) > 0) {
        side->pending = Py_NewRef(pending);
        side->source = 0;
        side->sink = WRITE;
    }
    return (PyObject *) side;
}

static void side_free(PyObject *object)
{
    let_go((struct side *) object);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef methods[] = {
    {"begin", side_begin, METH_O, "begin(other): relay, with what was read before."},
    {"ready", side_ready, METH_O, "ready(mask): the loop's call."},
    {"close", side_close, METH_NOARGS, "close(): close the connection."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"active", T_DOUBLE, offsetof(struct side, active), READONLY, NULL},
    {"ended", T_UBYTE, offsetof(struct side, ended), READONLY, NULL},
    {"other", T_OBJECT_EX, offsetof(struct side, other), READONLY, NULL},
    {"pending", T_OBJECT, offsetof(struct side, pending), READONLY, NULL},
    {"received", T_ULONGLONG, offsetof(struct side, received), READONLY, NULL},
    {"sent", T_ULONGLONG, offsetof(struct side, sent), READONLY, NULL},
    {"tls", T_OBJECT_EX, offsetof(struct side, tls), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"closed", side_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject side_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.relay._relay.Side",
    .tp_basicsize = sizeof(struct side),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = side_new,
    .tp_dealloc = side_free,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = properties,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mailworker.native.relay._relay",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__relay(void)
{
    PyObject *module;

    if (!prepare_relay() || PyType_Ready(&side_type) < 0) {
        return NULL;
    }
    module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddObjectRef(module, "Side", (PyObject *) &side_type) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
