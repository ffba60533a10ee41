/*
 * One end of a relay, and the direction that begins there. A wake-up moves bytes by pump.c, keeps what is not taken,
 * tells the loop what the side waits for, and the relay what is out of the ordinary: so a line from one side to the
 * other costs no Python but the loop's call. pump.c is part of the module _native; this module knows no more of it than
 * the pump's address. _relay.pyi has the types.
 *
 * A side belongs to a relay, an object of Python that is told of ends, failures and bugs. The circle of both sides and
 * the relay ends with `close`: no side is ever looked at by the garbage collector, which spares each 16 bytes.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>
#include <structmember.h>

#include "events.h"
#include "exception.h"

#include <sys/socket.h>
#include <unistd.h>

typedef struct ssl_st SSL;

#include "pump.h"

struct side {
    PyObject_HEAD
    PyObject *relay; /* NULL once closed, as are the next three, and `pending` */
    PyObject *tls; /* owns `connection`; None where the side is plain */
    SSL *connection;
    struct side *other;
    struct pump *pump;
    PyObject *pending; /* read here and not yet taken by the other side, before which nothing more is read; or NULL */
    double active; /* when the loop last called for this side, by its clock */
    unsigned long long received; /* bytes that came from this side's peer, before the relay too */
    unsigned long long sent; /* bytes that it has been sent */
    int fd;
    unsigned char source; /* events that the direction waits for on this descriptor */
    unsigned char sink; /* and on the other side's; where input has ended, until that side is told */
    unsigned char watched; /* what the loop watches this descriptor for */
    unsigned char ended; /* no more input comes: 1 where this side's ended first, 2 where the other's had before */
};

static int is_open(const struct side *side)
{
    return side->relay != NULL;
}

static inline PyObject *loop_of(const struct side *side)
{
    return side->pump->loop;
}

/* Drops what a method gave; 0 where it raised. */
static int done(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL;
}

static PyObject *name_now;

/* The next functions give 0 where they leave an exception. */

static int touch(struct side *side)
{
    PyObject *now = PyObject_GetAttr(loop_of(side), name_now);

    if (now != NULL) {
        side->active = PyFloat_AsDouble(now);
    }
    return done(now) && !(side->active == -1.0 && PyErr_Occurred());
}

/* Watches the descriptor for what is now waited for: this direction's input, room for the other's output. */
static int watch(struct side *side)
{
    int events = side->source | side->other->sink;
    PyObject *result;

    if (events == side->watched) {
        return 1;
    }
    if (events == 0) {
        result = PyObject_CallMethod(loop_of(side), "unwatch", "i", side->fd);
    } else {
        const char *call = side->watched ? "change" : "watch";

        result = PyObject_CallMethod(loop_of(side), call, "iiO", side->fd, events, side);
    }
    if (result != NULL) {
        side->watched = (unsigned char) events;
    }
    return done(result);
}

/* Whether no more input comes, and the other side has been told. */
static int is_over(const struct side *side)
{
    return side->ended && side->sink == 0;
}

/*
 * FIN to the other side, whose peer may go on to send; over TLS after a close_notify, for which its socket may have no
 * room yet. Where this is all that was left to do, `close` follows at once. 0 where the peer is gone.
 */
static int end_output(struct side *side)
{
    const struct side *other = side->other;
    int result = other->connection == NULL ? 1 : side->pump->close_notify(other->connection);

    side->sink = result == -WRITE ? WRITE : 0;
    return result != IO_TLS && (side->sink || is_over(other) || shutdown(other->fd, SHUT_WR) == 0);
}

/* Again and again after the end of input, until the other side is told. */
static int say_goodbye(struct side *side)
{
    if (!end_output(side) || (is_over(side) && is_over(side->other))) {
        return done(PyObject_CallMethod(side->relay, "finish", NULL));
    }
    return 1;
}

static int end(struct side *side)
{
    side->ended = side->other->ended ? 2 : 1;
    side->source = 0;
    if (!say_goodbye(side)) {
        return 0;
    }
    return !is_open(side) || side->other->ended || done(PyObject_CallMethod(side->relay, "half_close", NULL));
}

static int keep(struct side *side, const char *data, size_t length)
{
    PyObject *old = side->pending;

    side->pending = PyBytes_FromStringAndSize(data, (Py_ssize_t) length);
    Py_XDECREF(old); /* `data` may be a part of it */
    return side->pending != NULL;
}

/* After a step that came to `status`; `data` is where the step's bytes are. */
static int settle(struct side *side, int status, const char *data)
{
    const struct pump *pump = side->pump;
    unsigned char wanted = (unsigned char) pump->want;

    switch (status) {
    case RELAY_MORE: /* OpenSSL may hold more, which no selector sees */
        return side->connection == NULL || done(PyObject_CallMethod(loop_of(side), "again", "O", side));
    case RELAY_SOURCE_BLOCKED:
        side->source = wanted;
        return 1;
    case RELAY_SINK_BLOCKED:
        side->source = 0;
        side->sink = wanted;
        return keep(side, data + pump->offset, pump->length);
    case RELAY_END:
        return end(side);
    case RELAY_SOURCE_FAILED:
        return done(PyObject_CallMethod(side->relay, "lose_source", "Oi", side, pump->error));
    default:
        return done(PyObject_CallMethod(side->relay, "lose_sink", "Oi", side->other, pump->error));
    }
}

/* Hands on what is pending. RELAY_MORE: nothing of it is left. */
static int flush(struct side *side)
{
    struct side *other = side->other;
    struct pump *pump = side->pump;
    int status;

    if (side->pending == NULL) {
        return RELAY_MORE;
    }
    status = pump->flush(pump, PyBytes_AS_STRING(side->pending), (size_t) PyBytes_GET_SIZE(side->pending), other->fd,
                         other->connection);
    other->sent += pump->moved;
    if (status == RELAY_MORE) {
        Py_CLEAR(side->pending);
        side->source = READ;
        side->sink = 0;
    }
    return status;
}

static int settle_pending(struct side *side, int status)
{
    return settle(side, status, PyBytes_AS_STRING(side->pending));
}

/* Moves what can be moved from here to the other side, a bounded number of bytes. 0 with an exception. */
static int forward(struct side *side)
{
    struct side *other = side->other;
    struct pump *pump = side->pump;
    int status;

    if (side->ended) {
        return say_goodbye(side);
    }
    status = flush(side);
    if (status != RELAY_MORE) {
        return settle_pending(side, status);
    }
    status = pump->move(pump, side->fd, side->connection, other->fd, other->connection, pump->limit);
    other->sent += pump->moved;
    side->received += pump->moved + pump->length; /* the rest is kept, or lost with the other side */
    return settle(side, status, (const char *) pump->page);
}

/* `side` is ready for `mask`. */
static int serve(struct side *side, struct side *other, long mask)
{
    if (!touch(side) || ((mask & other->sink) && !forward(other)) ||
        (is_open(side) && (mask & side->source) && !forward(side))) {
        return 0;
    }
    return !is_open(side) || (watch(side) && watch(other));
}

/* Hands on what is at hand and what no selector sees; a plain side's selector will tell of all else. */
static int begin_direction(struct side *side)
{
    int status;

    if (side->connection != NULL) {
        return (side->pending == NULL && !side->pump->has_pending(side->connection)) || forward(side);
    }
    status = flush(side);
    return status == RELAY_MORE || settle_pending(side, status);
}

/* From now on the loop calls this side, not the stream that had the descriptor. */
static int take_over(struct side *side)
{
    return side->watched == 0 ||
           done(PyObject_CallMethod(loop_of(side), "change", "iiO", side->fd, side->watched, side));
}

/* The first round of a relay, for both of its sides. */
static int begin(struct side *side, struct side *other, long Py_UNUSED(mask))
{
    if (!touch(side) || !take_over(side) || !take_over(other) || !begin_direction(side) ||
        (is_open(side) && !begin_direction(other))) {
        return 0;
    }
    return !is_open(side) || (watch(side) && watch(other));
}

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
    return guarded(side, mask, serve);
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
    return guarded(side, 0, begin);
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

    name_now = PyUnicode_InternFromString("now");
    if (name_now == NULL || PyType_Ready(&side_type) < 0) {
        return NULL;
    }
    module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddObjectRef(module, "Side", (PyObject *) &side_type) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
