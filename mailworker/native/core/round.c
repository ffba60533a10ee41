/* A round of the loop by epoll: it calls the handlers itself, so no objects are made for ready descriptors. */

#include "epoll.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sys/socket.h>

#define EVENTS_PER_CALL 512 /* as nginx's epoll_events */

/* The most handlers that are late at once, see event/poller.py. */
#define MANY 32

/* Seconds, infinity for None. */
static int take_timeout(PyObject *argument, double *seconds)
{
    *seconds = INFINITY;
    return argument == Py_None || take_real(argument, seconds);
}

/* Rounded up, so that waiting never ends early; -1 for ever. */
static int milliseconds_of(double seconds)
{
    double milliseconds = ceil(seconds * 1e3);

    if (isinf(seconds)) {
        return -1;
    }
    return milliseconds > 0.0 ? milliseconds < INT_MAX ? (int) milliseconds : INT_MAX : 0;
}

/* Whether another thread may want the GIL. mailworker's processes have one thread, and keep the GIL. */
static int has_threads(void)
{
    return PyThreadState_Next(PyInterpreterState_ThreadHead(PyInterpreterState_Get())) != NULL;
}

static int wait_for(int fd, struct epoll_event *events, int milliseconds)
{
    int count;

    if (!has_threads()) {
        return epoll_wait(fd, events, EVENTS_PER_CALL, milliseconds);
    }
    Py_BEGIN_ALLOW_THREADS
    count = epoll_wait(fd, events, EVENTS_PER_CALL, milliseconds);
    Py_END_ALLOW_THREADS
    return count;
}

/* The number of events: also 0 after a signal, whose handler may have changed what there is to wait for. */
static int await_events(struct epoll *self, int milliseconds, struct epoll_event *events)
{
    int count = wait_for(self->fd, events, milliseconds);

    if (count >= 0) {
        return count;
    }
    return errno == EINTR ? PyErr_CheckSignals() : system_error() - 1;
}

/*
 * Takes an ICMP message that Linux has queued, if that is the whole error: it reports the error until somebody takes
 * the message, but no call fails, as TCP goes on connecting.
 */
static int took_message(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0;
}

static uint32_t selector_mask(int fd, uint32_t bits)
{
    if (bits & EPOLLHUP || (bits & EPOLLERR && !took_message(fd))) {
        return READ | WRITE; /* the next call on the descriptor gives the error */
    }
    return (bits & EPOLLIN ? READ : 0U) | (bits & EPOLLOUT ? WRITE : 0U);
}

/* The watch that an event belongs to, and its events as `mask`; NULL if the watch has ended since. */
static struct watch *meant(struct epoll *self, const struct epoll_event *event, uint32_t *mask)
{
    uint32_t fd = (uint32_t) event->data.u64;
    struct watch *watch = fd < (uint32_t) self->size ? &self->watches[fd] : NULL;

    if (watch == NULL || watch->handler == NULL || watch->generation != event->data.u64 >> 32) {
        return NULL;
    }
    *mask = selector_mask((int) fd, event->events) & watch->events;
    return *mask ? watch : NULL;
}

/* Waits once, reads the clock and calls the handlers of ready descriptors, and then those that put something off. */
static int serve_round(struct epoll *self, struct loop *loop, double seconds)
{
    struct epoll_event events[EVENTS_PER_CALL];
    int i, fine = 1, count = await_events(self, milliseconds_of(seconds), events);

    if (count < 0 || !loop_note_time(loop)) {
        return 0;
    }
    for (i = 0; fine && i < count; i++) {
        uint32_t mask;
        struct watch *watch = meant(self, &events[i], &mask);

        if (watch != NULL) {
            PyObject *handler = Py_NewRef(watch->handler); /* it may end its own watch */

            fine = loop_call(handler, (int) mask) && (PyList_GET_SIZE(loop->late) < MANY || loop_serve_late(loop));
            Py_DECREF(handler);
        }
    }
    return fine && loop_serve_late(loop);
}

/* Waits again by itself, as long as nothing is urgent or due. */
PyObject *epoll_dispatch(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct loop *loop;
    double seconds;

    if (!counted(given, 2) || !is_loop(arguments[0]) || !take_timeout(arguments[1], &seconds)) {
        return NULL;
    }
    loop = (struct loop *) arguments[0];
    do {
        if (!serve_round((struct epoll *) object, loop, seconds)) {
            return NULL;
        }
        seconds = timers_delay(loop->timers, loop->now);
    } while (!loop->urgent && loop->timers->first > loop->now);
    Py_RETURN_NONE;
}
