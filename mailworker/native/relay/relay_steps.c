/*
 * What sides do: move bytes, by pump.c, keep what is not taken, tell the loop what they wait for, and the relay what is
 * out of the ordinary.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "events.h"
#include "side.h"

#include <sys/socket.h>

static PyObject *name_now;

int prepare_relay(void)
{
    name_now = PyUnicode_InternFromString("now");
    return name_now != NULL;
}

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

    side->sink = result == IO_WANT_WRITE ? WRITE : 0;
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
    unsigned char wanted = pump->want == IO_WANT_WRITE ? WRITE : READ;

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

int relay_serve(struct side *side, struct side *other, long mask)
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

int relay_begin(struct side *side, struct side *other, long Py_UNUSED(mask))
{
    if (!touch(side) || !take_over(side) || !take_over(other) || !begin_direction(side) ||
        (is_open(side) && !begin_direction(other))) {
        return 0;
    }
    return !is_open(side) || (watch(side) && watch(other));
}
