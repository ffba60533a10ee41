/*
 * One side of a relay, and the direction that begins there. A wake-up moves bytes by pump.c, keeps what is not taken,
 * and tells the loop what the side waits for. The relay is called only for ends and failures, so passing a line from
 * one side to the other runs no Python code.
 *
 * A side belongs to a relay, a Python object that is told of ends, failures and bugs. `close` breaks the reference
 * cycle of both sides and the relay. So sides take no part in garbage collection, which spares 16 bytes for each.
 */

#include "shm.h"
#include "side.h"

#include <sys/socket.h>

static inline struct pump *pump_of(const struct side *side)
{
    return &side->owner->pump;
}

static inline struct channel channel_of(const struct side *side)
{
    return (struct channel){transport_of(side->connection), side->connection, side->fd};
}

static void touch(struct side *side)
{
    side->active = side->owner->loop->now;
}

/* Watches the descriptor for this direction's input, and for room for the other direction's output. */
static int watch(struct side *side)
{
    int events = side->source | side->other->sink;

    if (events == side->watched) {
        return 1;
    }
    if (!loop_watch(side->owner->loop, side->fd, side->watched, events, (PyObject *) side)) {
        return 0;
    }
    side->watched = events & (READ | WRITE);
    return 1;
}

/* Whether no more input comes, and the other side's peer knows. */
static int is_over(const struct side *side)
{
    return side->ended && side->sink == 0;
}

/*
 * Sends FIN to the other side's peer, which may go on to send; over TLS after a close_notify, for which its socket may
 * have no room yet. Where nothing else is left to do, `close` follows at once, without FIN. 0 where the peer is gone.
 */
static int end_output(struct side *side)
{
    const struct side *other = side->other;
    int result = transport_of(other->connection)->say_goodbye(other->connection);

    side->sink = result == -WRITE ? WRITE : 0;
    return result != IO_TLS && (side->sink || is_over(other) || shutdown(other->fd, SHUT_WR) == 0);
}

/* Passes on the end of input; called again until the other side's peer has got it. */
static int say_goodbye(struct side *side)
{
    if (!end_output(side) || (is_over(side) && is_over(side->other))) {
        return done(PyObject_CallMethodNoArgs(side->relay, names.finish));
    }
    return 1;
}

/* Whether this side's peer has asked for nothing and has got all that was read: it awaits no reply. */
static int is_owed_nothing(const struct side *side)
{
    return !side->spoken && side->other->pending == NULL;
}

static int end(struct side *side)
{
    side->ended = side->other->ended ? 2 : 1;
    side->source = 0;
    if (is_owed_nothing(side)) {
        return done(PyObject_CallMethodNoArgs(side->relay, names.finish));
    }
    if (!say_goodbye(side)) {
        return 0;
    }
    if (!is_open(side) || side->other->ended) {
        return 1;
    }
    return PyObject_TypeCheck(side->relay, &pair_type) ? pair_half_close(side->relay)
                                                       : done(PyObject_CallMethodNoArgs(side->relay, names.half_close));
}

static int keep(struct side *side, const char *data, size_t length)
{
    PyObject *old = side->pending;

    side->pending = PyBytes_FromStringAndSize(data, (Py_ssize_t) length);
    Py_XDECREF(old); /* `data` may be a part of it */
    return side->pending != NULL;
}

/* Acts on the `status` of a step; `data` points to the step's bytes. */
static int settle(struct side *side, int status, const char *data)
{
    const struct pump *pump = pump_of(side);
    unsigned char wanted = (unsigned char) pump->want & (READ | WRITE);

    switch (status) {
    case RELAY_MORE: /* OpenSSL may hold more, which no poller sees */
        return side->connection == NULL ||
               done(PyObject_CallMethodOneArg((PyObject *) side->owner->loop, names.again, (PyObject *) side));
    case RELAY_SOURCE_BLOCKED:
        side->source = wanted;
        return 1;
    case RELAY_SINK_BLOCKED:
        side->source = 0;
        side->sink = wanted;
        return keep(side, data + pump->offset, pump->length);
    case RELAY_END:
        return end(side);
    case RELAY_REFUSED:
        return done(PyObject_CallMethod(side->relay, "refuse", NULL));
    case RELAY_SOURCE_FAILED:
        return done(PyObject_CallMethod(side->relay, "lose_source", "Oi", side, pump->error));
    default:
        return done(PyObject_CallMethod(side->relay, "lose_sink", "Oi", side->other, pump->error));
    }
}

/* Passes on what is pending. RELAY_MORE: nothing of it is left. */
static int flush(struct side *side)
{
    struct side *other = side->other;
    struct pump *pump = pump_of(side);
    struct channel sink;
    int status;

    if (side->pending == NULL) {
        return RELAY_MORE;
    }
    sink = channel_of(other);
    status = pump_flush(pump, &sink, PyBytes_AS_STRING(side->pending), (size_t) PyBytes_GET_SIZE(side->pending));
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

/* Moves a bounded number of bytes from here to the other side. 0 with an exception. */
static int forward(struct side *side)
{
    struct side *other = side->other;
    struct pump *pump = pump_of(side);
    struct channel source, sink;
    int status, allowed;

    if (side->ended) {
        return say_goodbye(side);
    }
    status = flush(side);
    if (status != RELAY_MORE) {
        return settle_pending(side, status);
    }
    if (pump->limiting && (allowed = limited_most((struct limited_side *) side, pump)) <= 0) {
        return allowed == 0;
    }
    source = channel_of(side);
    sink = channel_of(other);
    status = pump_move(pump, &source, &sink, &((struct watched_side *) side)->line);
    other->sent += pump->moved;
    side->received += pump->moved + pump->length; /* the rest is kept, or lost with the other side */
    side->spoken |= pump->moved + pump->length > 0;
    if (pump->limiting) {
        ((struct limited_side *) side)->allowance -= (long long) (pump->moved + pump->length);
    }
    return settle(side, status, (const char *) pump->page);
}

/* The row of a client's side in the session table; NO_ROW where there is none. */
static int row_of(const struct side *side)
{
    const struct rows *rows = side->owner->rows;
    int row = side->listed ? ((const struct watched_side *) side)->row : NO_ROW;

    return rows != NULL && rows_has(rows, row) ? row : NO_ROW;
}

/* Writes the byte counts into the session's row. */
static void note(const struct side *side)
{
    const struct side *client = side->listed ? side : side->other;
    int row = row_of(client);

    if (row != NO_ROW) {
        rows_note(client->owner->rows, row, client->received, client->sent, side->active);
    }
}

/* The values of event/gathering.py. */
#define QUICK 0.0001 /* seconds between two pieces */
#define SMALL 512 /* bytes of a piece */
#define ENOUGH 32 /* pieces in a row: the kernel gathers those that follow */

static int start_gathering(struct side *side)
{
    PyObject *module = PyImport_ImportModule("mailworker.event.gathering");
    int fine = module != NULL && done(PyObject_CallMethod(module, "start", "OO", side, side->owner->loop));

    Py_XDECREF(module);
    return fine;
}

/* Counts small pieces in a row, as gather() does: `bytes` were moved now, `pause` seconds after the call before. */
static int gather(struct side *side, double pause, unsigned long long bytes)
{
    if (side->other->pieces != ENOUGH) {
        side->other->pieces = 0; /* in a dialogue each peer waits for the other one's piece */
    }
    if (side->pieces == ENOUGH) {
        return 1;
    }
    side->pieces = pause > QUICK || bytes > SMALL || bytes == 0 ? 0 : side->pieces + 1;
    return side->pieces != ENOUGH || start_gathering(side);
}

/* `side` is ready for `mask`. */
static int serve(struct side *side, struct side *other, int mask)
{
    double pause = side->owner->loop->now - side->active;
    unsigned long long received = side->received;

    touch(side);
    if (((mask & other->sink) && !forward(other)) || (is_open(side) && (mask & side->source) && !forward(side))) {
        return 0;
    }
    if (is_open(side)) {
        note(side);
        if (!gather(side, pause, side->received - received)) {
            return 0;
        }
    }
    return !is_open(side) || (watch(side) && watch(other));
}

/* Passes on what was read before and what no poller sees; the poller reports all other input. */
static int begin_direction(struct side *side)
{
    int status;

    if (side->connection != NULL) {
        return (side->pending == NULL && !transport_of(side->connection)->has_input(side->connection)) || forward(side);
    }
    status = flush(side);
    return status == RELAY_MORE || settle_pending(side, status);
}

/* From now on the loop calls this side, not the stream that had the descriptor. */
static int take_over(struct side *side)
{
    return !side->watched || loop_watch(side->owner->loop, side->fd, side->watched, side->watched, (PyObject *) side);
}

/* The first round of a relay, for both of its sides; it is put off until the loop would wait again. */
static int begin(struct side *side, struct side *other, int Py_UNUSED(mask))
{
    touch(side);
    if (row_of(side) != NO_ROW) {
        rows_relay(side->owner->rows, row_of(side), side->active);
    }
    if (!take_over(side) || !take_over(other) || !begin_direction(side) || (is_open(side) && !begin_direction(other))) {
        return 0;
    }
    return !is_open(side) || (watch(side) && watch(other));
}

int abort_relay(PyObject *relay)
{
    PyObject *bug;
    int fine;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return 0;
    }
    bug = take_exception();
    fine = done(PyObject_CallMethodOneArg(relay, names.abort, bug));
    Py_DECREF(bug);
    return fine;
}

/* Runs `steps` for both sides of a relay, which may close itself meanwhile. */
static int guarded(struct side *side, int mask, int (*steps)(struct side *side, struct side *other, int mask))
{
    struct side *other = (struct side *) Py_NewRef(side->other);
    PyObject *relay = Py_NewRef(side->relay);
    int fine = steps(side, other, mask) || abort_relay(relay); /* a bug ends this relay, and nothing else */

    Py_DECREF(other);
    Py_DECREF(relay);
    return fine;
}

int side_ready(PyObject *object, int mask)
{
    struct side *side = (struct side *) object;

    if (side->other == NULL || !is_open(side->other)) {
        return 1; /* closed in the present round */
    }
    return guarded(side, mask, mask == 0 ? begin : serve);
}

int side_join(struct side *side, struct side *other)
{
    side->other = (struct side *) Py_NewRef(other);
    other->other = (struct side *) Py_NewRef(side);
    return loop_put_off(side->owner->loop, (PyObject *) side);
}
