/* The fields of a loop that streams, tasks and pollers read, and the calls of its poller. */

#include "core.h"
#include "relay.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define AT_ONCE 64 /* late handlers that are taken from the list together */

static PyObject *monotonic; /* time.monotonic */

int prepare_loop(void)
{
    PyObject *module = PyImport_ImportModule("time");

    monotonic = module == NULL ? NULL : PyObject_GetAttrString(module, "monotonic");
    Py_XDECREF(module);
    return monotonic != NULL;
}

int is_loop(PyObject *object)
{
    return PyObject_TypeCheck(object, &loop_type) || raised(PyExc_TypeError, "no loop");
}

int loop_note_time(struct loop *loop)
{
    struct timespec time;
    PyObject *now;
    int taken;

    if (loop->clock == monotonic) { /* computed as in time.monotonic() */
        clock_gettime(CLOCK_MONOTONIC, &time);
        loop->now = (double) ((long long) time.tv_sec * 1000000000 + time.tv_nsec) / 1e9;
        return 1;
    }
    now = PyObject_CallNoArgs(loop->clock);
    if (now == NULL) {
        return 0;
    }
    taken = take_real(now, &loop->now);
    Py_DECREF(now);
    return taken;
}

int loop_watch(struct loop *loop, int fd, int watched, int events, PyObject *handler)
{
#ifdef __linux__
    if (Py_IS_TYPE(loop->poller, &epoll_type)) {
        return epoll_set((struct epoll *) loop->poller, fd, watched, events, handler);
    }
#endif
    if (events == 0) {
        return done(PyObject_CallMethod(loop->poller, "unwatch", "i", fd));
    }
    return done(PyObject_CallMethod(loop->poller, watched ? "change" : "watch", "iiO", fd, events, handler));
}

int loop_forget(struct loop *loop, int fd)
{
#ifdef __linux__
    if (Py_IS_TYPE(loop->poller, &epoll_type)) {
        return epoll_drop((struct epoll *) loop->poller, fd);
    }
#endif
    return done(PyObject_CallMethod(loop->poller, "forget", "i", fd));
}

int loop_put_off(struct loop *loop, PyObject *handler)
{
    return PyList_Append(loop->late, handler) == 0;
}

/* Handlers of our types are called by C functions, whatever a class derived from them in Python defines. */
int loop_call(PyObject *handler, int mask)
{
    PyTypeObject *type = Py_TYPE(handler);
    PyObject *number;
    int fine;

    if (type == &side_type || type == &listed_type || type == &watched_type || type == &limited_type) {
        return side_ready(handler, mask);
    }
    if (type == &stream_type || type->tp_base == &stream_type) {
        return stream_ready(handler, mask);
    }
    number = PyLong_FromLong((long) mask);
    fine = number != NULL && done(PyObject_CallMethodOneArg(handler, names.ready, number));
    Py_XDECREF(number);
    return fine;
}

/* Takes the first handlers from the list, whose memory stays for the next ones; gives their number. */
static Py_ssize_t take_late(struct loop *loop, PyObject **taken)
{
    PyListObject *late = (PyListObject *) loop->late;
    Py_ssize_t count = Py_SIZE(late), rest = count > AT_ONCE ? count - AT_ONCE : 0;

    count -= rest;
    memcpy(taken, late->ob_item, (size_t) count * sizeof(*taken));
    memmove(late->ob_item, late->ob_item + count, (size_t) rest * sizeof(*taken));
    Py_SET_SIZE(late, rest);
    return count;
}

/* Calls handlers, whose references it steals; after an exception the others have their turn in the next round. */
static int call_late(struct loop *loop, PyObject **handlers, Py_ssize_t count)
{
    PyObject *bug = NULL;
    Py_ssize_t i;
    int fine = 1;

    for (i = 0; i < count; i++) {
        if (bug == NULL && !loop_call(handlers[i], 0)) {
            bug = take_exception();
        } else if (bug != NULL) {
            fine = loop_put_off(loop, handlers[i]) && fine;
        }
        Py_DECREF(handlers[i]);
    }
    fine = fine && bug == NULL;
    raise_error(bug);
    return fine;
}

int loop_serve_late(struct loop *loop)
{
    PyObject *taken[AT_ONCE];

    while (PyList_GET_SIZE(loop->late) > 0) { /* a call may put something off */
        if (!call_late(loop, taken, take_late(loop, taken))) {
            return 0;
        }
    }
    return 1;
}

static PyObject *serve_late(PyObject *object, PyObject *Py_UNUSED(none))
{
    return none_if(loop_serve_late((struct loop *) object));
}

static PyMethodDef loop_methods[] = {
    {"serve_late", serve_late, METH_NOARGS, "serve_late(): call those who have put something off."},
    {NULL, NULL, 0, NULL},
};

static int loop_init(PyObject *object, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    struct loop *self = (struct loop *) object;
    PyObject *poller, *clock, *on_bug;

    if (!PyArg_ParseTuple(arguments, "OOO", &poller, &clock, &on_bug)) {
        return -1;
    }
    Py_XSETREF(self->poller, Py_NewRef(poller));
    Py_XSETREF(self->clock, Py_NewRef(clock));
    Py_XSETREF(self->on_bug, Py_NewRef(on_bug));
    Py_XSETREF(self->timers, (struct timers *) PyObject_CallNoArgs((PyObject *) &timers_type));
    Py_XSETREF(self->late, PyList_New(0));
    return self->timers != NULL && self->late != NULL && loop_note_time(self) ? 0 : -1;
}

#define REFERENCES(REF) REF(poller) REF(clock) REF(on_bug) REF(timers) REF(late)
COLLECTED(loop, REFERENCES)

static PyMemberDef loop_members[] = {
    {"now", T_DOUBLE, offsetof(struct loop, now), 0, NULL},
    {"urgent", T_BOOL, offsetof(struct loop, urgent), 0, NULL},
    {"clock", T_OBJECT_EX, offsetof(struct loop, clock), 0, NULL},
    {"poller", T_OBJECT_EX, offsetof(struct loop, poller), READONLY, NULL},
    {"on_bug", T_OBJECT_EX, offsetof(struct loop, on_bug), READONLY, NULL},
    {"late", T_OBJECT_EX, offsetof(struct loop, late), READONLY, NULL},
    {"timers", T_OBJECT_EX, offsetof(struct loop, timers), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject loop_type = {
    COLLECTED_TYPE("LoopState", loop, "The fields of a loop that streams, tasks and pollers read.",
                   Py_TPFLAGS_BASETYPE),
    .tp_new = PyType_GenericNew,
    .tp_init = loop_init,
    .tp_members = loop_members,
    .tp_methods = loop_methods,
};
