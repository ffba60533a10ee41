/* Small pieces in quick succession, which the kernel gathers; see event/gathering.py. */

#include "side.h"

#include <sys/socket.h>

#define QUICK 0.0001 /* seconds between two pieces */
#define SMALL 512 /* bytes of a piece */
#define ENOUGH 32 /* pieces in a row */
#define MARK 2048 /* bytes */
#define NO_MARK 1
#define PAUSE 0.001 /* seconds */

/* Waits for the pause. It belongs to the timers, so a side has no memory for it. */
struct gathering {
    struct timed timed;
    struct side *side;
};

static int set_mark(const struct side *side, int bytes)
{
    return setsockopt(side->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0;
}

static void stop(struct side *side)
{
    side->pieces = 0;
    (void) set_mark(side, NO_MARK);
}

static int wait_for_pause(struct gathering *self)
{
    struct loop *loop = self->side->owner->loop;

    return timers_set(loop->timers, &self->timed, self->side->active + PAUSE, loop->now);
}

static int start(struct side *side)
{
    struct gathering *self;
    int fine;

    side->pieces = GATHERING;
    if (!set_mark(side, MARK)) {
        return 1; /* the system has no marks; it is not asked again for this side */
    }
    self = (struct gathering *) gathering_type.tp_alloc(&gathering_type, 0);
    if (self == NULL) {
        return 0;
    }
    self->side = (struct side *) Py_NewRef(side);
    fine = wait_for_pause(self);
    Py_DECREF(self);
    return fine;
}

int gather(struct side *side, double pause, unsigned long long bytes)
{
    if (side->other->pieces != GATHERING) {
        side->other->pieces = 0; /* in a dialogue each peer waits for the other one's piece */
    }
    if (side->pieces == GATHERING) {
        return 1;
    }
    if (pause > QUICK || bytes > SMALL || bytes == 0) {
        side->pieces = 0;
        return 1;
    }
    return ++side->pieces < ENOUGH || start(side);
}

static int wait_again(struct gathering *self)
{
    if (wait_for_pause(self)) {
        return 1;
    }
    stop(self->side); /* nothing else would */
    return 0;
}

static PyObject *expire(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct gathering *self = (struct gathering *) object;
    struct side *side = self->side;

    if (!is_open(side)) {
        Py_RETURN_NONE;
    }
    if (side->active + PAUSE > side->owner->loop->now) {
        return none_if(wait_again(self));
    }
    stop(side);
    return none_if(side_ready((PyObject *) side, READ)); /* not every system reports what was below the mark */
}

static void gathering_dealloc(PyObject *object)
{
    Py_XDECREF(((struct gathering *) object)->side);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef gathering_methods[] = {
    {"expire", expire, METH_NOARGS, "expire(): stop gathering if the peer has paused."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject gathering_type = {
    TYPE("Gathering", gathering, "The wait for the pause of a peer that writes small pieces in quick succession.",
         Py_TPFLAGS_DISALLOW_INSTANTIATION),
    .tp_dealloc = gathering_dealloc,
    .tp_methods = gathering_methods,
};
