/* The Python objects of sides, and how they take and close their connections; see event/relay.py. */

#include "shm.h"
#include "side.h"

#include <unistd.h>

/* Breaks the reference cycle of both sides and the relay. */
static void let_go(struct side *side)
{
    if (side->bare) {
        side->bare = 0;
        tls_transport->end(side->connection);
    }
    Py_CLEAR(side->relay);
    Py_CLEAR(side->tls);
    Py_CLEAR(side->other);
    Py_CLEAR(side->owner);
    Py_CLEAR(side->pending);
}

static PyObject *ready(PyObject *object, PyObject *argument)
{
    int mask;

    return none_if(take_int(argument, &mask) && side_ready(object, mask));
}

static PyObject *side_begin(PyObject *object, PyObject *argument)
{
    struct side *side = (struct side *) object, *other = (struct side *) argument;

    if (!PyObject_TypeCheck(argument, &side_type) || side->other != NULL || other->other != NULL) {
        PyErr_SetString(PyExc_TypeError, "a fresh side is wanted");
        return NULL;
    }
    return none_if(side_join(side, other));
}

int side_row(PyObject *object)
{
    return ((struct watched_side *) object)->row;
}

int side_close(struct side *side)
{
    int fine = 1;

    if (!is_open(side)) {
        return 1;
    }
    if (side->watched) {
        side->watched = 0;
        fine = loop_forget(side->owner->loop, side->fd);
    }
    if (side->connection != NULL) {
        (void) tls_transport->say_goodbye(side->connection); /* if the peer takes it at once */
        fine = tls_free(side->tls, side->connection, side->bare) && fine;
        side->bare = 0;
        side->connection = NULL;
    }
    close(side->fd);
    side->fd = -1;
    let_go(side);
    return fine;
}

static PyObject *close_side(PyObject *object, PyObject *Py_UNUSED(argument))
{
    return none_if(side_close((struct side *) object));
}

static PyObject *side_tls(PyObject *object, void *Py_UNUSED(closure))
{
    struct side *side = (struct side *) object;

    if (side->tls == NULL) {
        PyErr_SetString(PyExc_AttributeError, "tls");
        return NULL;
    }
    return dressed(&side->tls, side->connection, &side->bare);
}

static PyObject *side_closed(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!is_open((struct side *) object));
}

void side_take(struct side *side, PyObject *relay, struct pump_object *owner, struct stream *stream, PyObject *pending)
{
    side->relay = Py_NewRef(relay);
    side->tls = Py_NewRef(stream->tls);
    side->connection = stream->connection;
    side->bare = stream->bare;
    side->owner = (struct pump_object *) Py_NewRef(owner);
    side->received = stream->received;
    side->sent = stream->sent;
    side->fd = stream->descriptor;
    side->watched = stream->watched & (READ | WRITE);
    side->source = READ;
    if (PyBytes_GET_SIZE(pending) > 0) {
        side->pending = Py_NewRef(pending);
        side->spoken = 1;
        side->source = 0;
        side->sink = WRITE;
    }
    if (PyObject_TypeCheck(side, &listed_type)) {
        ((struct watched_side *) side)->row = stream->row;
        side->listed = stream->row != NO_ROW;
    }
    stream_give_away(stream);
}

PyObject *side_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *relay, *owner, *pending, *side;
    struct stream *stream;

    if (!PyArg_ParseTuple(arguments, "OO!O!S", &relay, &pump_type, &owner, &stream_type, &stream, &pending)) {
        return NULL;
    }
    side = type->tp_alloc(type, 0);
    if (side != NULL) {
        side_take((struct side *) side, relay, (struct pump_object *) owner, stream, pending);
    }
    return side;
}

void side_free(PyObject *object)
{
    let_go((struct side *) object);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef side_methods[] = {
    {"begin", side_begin, METH_O,
     "begin(other): relay between this side and `other`, beginning with the bytes that were read before."},
    {"ready", ready, METH_O, "ready(mask): called by the poller."},
    {"close", close_side, METH_NOARGS, "close(): close the connection."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef side_members[] = {
    {"descriptor", T_INT, offsetof(struct side, fd), READONLY, NULL},
    {"active", T_DOUBLE, offsetof(struct side, active), READONLY, NULL},
    {"ended", T_UBYTE, offsetof(struct side, ended), READONLY, NULL},
    {"other", T_OBJECT_EX, offsetof(struct side, other), READONLY, NULL},
    {"pending", T_OBJECT, offsetof(struct side, pending), READONLY, NULL},
    {"pieces", T_UBYTE, offsetof(struct side, pieces), 0, NULL},
    {"received", T_ULONGLONG, offsetof(struct side, received), READONLY, NULL},
    {"sent", T_ULONGLONG, offsetof(struct side, sent), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef side_properties[] = {
    {"closed", side_closed, NULL, NULL, NULL},
    {"tls", side_tls, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject side_type = {
    TYPE("Side", side, "One end of a relay, and the direction that begins there.", 0),
    .tp_new = side_new,
    .tp_dealloc = side_free,
    .tp_methods = side_methods,
    .tp_members = side_members,
    .tp_getset = side_properties,
};

static PyObject *watched_refuses(PyObject *object, PyObject *argument)
{
    char *data;
    Py_ssize_t length;

    if (PyBytes_AsStringAndSize(argument, &data, &length) < 0) {
        return NULL;
    }
    return PyBool_FromLong(line_refuses(&((struct watched_side *) object)->line, data, (size_t) length));
}

static PyMemberDef listed_members[] = {
    {"row", T_INT, offsetof(struct watched_side, row), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject listed_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._core.ListedSide",
    .tp_basicsize = offsetof(struct watched_side, line),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_base = &side_type,
    .tp_new = side_new,
    .tp_dealloc = side_free,
    .tp_members = listed_members,
};

static PyMethodDef watched_methods[] = {
    {"refuses", watched_refuses, METH_O,
     "refuses(data): whether the client may not send `data`; the next bytes continue its last line."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject watched_type = {
    TYPE("WatchedSide", watched_side, "The side of a ManageSieve client.", 0),
    .tp_base = &listed_type,
    .tp_new = side_new,
    .tp_dealloc = side_free,
    .tp_methods = watched_methods,
};
