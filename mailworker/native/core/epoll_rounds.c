/* The methods of _epoll.c that wait: `wait` says who is ready, `dispatch` calls them. */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "epoll.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sys/epoll.h>
#include <time.h>

#define EVENTS_PER_CALL 512 /* as nginx's epoll_events */

static PyObject *delay_name, *first_name, *now_name, *ready_name, *urgent_name;

static int64_t monotonic(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Milliseconds that never end early, -1 for ever; as all selectors take a timeout. */
static int take_timeout(PyObject *argument, int *milliseconds)
{
    double seconds;

    if (argument == Py_None) {
        *milliseconds = -1;
        return 1;
    }
    seconds = PyFloat_AsDouble(argument);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return 0;
    }
    seconds = ceil(seconds * 1e3);
    *milliseconds = seconds > 0.0 ? seconds < INT_MAX ? (int) seconds : INT_MAX : 0;
    return 1;
}

/* Whether somebody else may want the interpreter's lock. mailworker's processes have one thread, and spare the change. */
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

/* How many are ready. A signal is handled, and then the rest of the time is waited for (PEP 475). */
static int await_events(struct epoll *self, int milliseconds, struct epoll_event *events)
{
    int64_t end = milliseconds > 0 ? monotonic() + (int64_t) milliseconds * 1000000 : 0;

    for (;;) {
        int count = wait_for(self->fd, events, milliseconds);

        if (count >= 0) {
            return count;
        }
        if (errno != EINTR) {
            (void) PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
        if (milliseconds > 0) {
            int64_t left = end - monotonic();

            milliseconds = left > 0 ? (int) ((left + 999999) / 1000000) : 0;
        }
    }
}

static uint32_t selector_mask(uint32_t bits)
{
    if (bits & (EPOLLHUP | EPOLLERR)) {
        return READ | WRITE; /* shows in whatever call the waiter makes next */
    }
    return (bits & EPOLLIN ? READ : 0U) | (bits & EPOLLOUT ? WRITE : 0U);
}

/* The watch that an event is meant for, and what it says of it; NULL if that was given up since. */
static struct watch *meant(struct epoll *self, const struct epoll_event *event, uint32_t *mask)
{
    uint32_t fd = (uint32_t) event->data.u64;
    struct watch *watch = fd < (uint32_t) self->size ? &self->watches[fd] : NULL;

    if (watch == NULL || watch->handler == NULL || watch->generation != event->data.u64 >> 32) {
        return NULL;
    }
    *mask = selector_mask(event->events) & watch->events;
    return *mask ? watch : NULL;
}

PyObject *epoll_wait_once(PyObject *object, PyObject *timeout)
{
    struct epoll *self = (struct epoll *) object;
    struct epoll_event events[EVENTS_PER_CALL];
    int milliseconds, count, i;
    PyObject *ready;

    if (!take_timeout(timeout, &milliseconds)) {
        return NULL;
    }
    count = await_events(self, milliseconds, events);
    ready = count < 0 ? NULL : PyList_New(0);
    for (i = 0; ready != NULL && i < count; i++) {
        uint32_t mask;

        if (meant(self, &events[i], &mask) != NULL) {
            PyObject *pair = Py_BuildValue("II", (uint32_t) events[i].data.u64, mask);

            if (pair == NULL || PyList_Append(ready, pair) < 0) {
                Py_CLEAR(ready);
            }
            Py_XDECREF(pair);
        }
    }
    return ready;
}

static int note_time(PyObject *loop, PyObject *clock)
{
    PyObject *now = PyObject_CallNoArgs(clock);
    int failed = now == NULL || PyObject_SetAttr(loop, now_name, now) < 0;

    Py_XDECREF(now);
    return !failed;
}

static int call_ready(PyObject *handler, uint32_t mask)
{
    PyObject *arguments[] = {Py_NewRef(handler), PyLong_FromLong((long) mask)}; /* it may end its own watch */
    PyObject *result = PyObject_VectorcallMethod(ready_name, arguments, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);

    Py_DECREF(arguments[0]);
    Py_DECREF(arguments[1]);
    Py_XDECREF(result);
    return result != NULL;
}

/* Waits once, notes the time as loop.now and calls whose descriptors are ready. */
static int serve_round(struct epoll *self, PyObject *loop, PyObject *clock, PyObject *timeout)
{
    struct epoll_event events[EVENTS_PER_CALL];
    int milliseconds, count, i;

    if (!take_timeout(timeout, &milliseconds)) {
        return 0;
    }
    count = await_events(self, milliseconds, events);
    if (count < 0 || !note_time(loop, clock)) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        uint32_t mask;
        struct watch *watch = meant(self, &events[i], &mask);

        if (watch != NULL && !call_ready(watch->handler, mask)) {
            return 0;
        }
    }
    return 1;
}

/* Whether the loop has something to do before it can wait again. -1 with an exception. */
static int has_business(PyObject *loop, PyObject *now, PyObject *timers)
{
    PyObject *urgent = PyObject_GetAttr(loop, urgent_name), *first = PyObject_GetAttr(timers, first_name);
    int answer = urgent == NULL || first == NULL ? -1 : PyObject_IsTrue(urgent);

    if (answer == 0) {
        answer = PyObject_RichCompareBool(first, now, Py_LE);
    }
    Py_XDECREF(urgent);
    Py_XDECREF(first);
    return answer;
}

/* How long to wait for the next round, NULL where the loop has to see to something first, or with an exception. */
static PyObject *next_timeout(PyObject *loop, PyObject *timers)
{
    PyObject *now = PyObject_GetAttr(loop, now_name), *timeout = NULL;

    if (now != NULL && has_business(loop, now, timers) == 0) {
        timeout = PyObject_CallMethodOneArg(timers, delay_name, now);
    }
    Py_XDECREF(now);
    return timeout;
}

PyObject *epoll_dispatch(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *timeout;
    int went_well;

    if (given != 4) {
        return PyErr_Format(PyExc_TypeError, "4 arguments, not %zd", given);
    }
    timeout = Py_NewRef(arguments[3]);
    do {
        went_well = serve_round((struct epoll *) object, arguments[0], arguments[1], timeout);
        Py_SETREF(timeout, went_well ? next_timeout(arguments[0], arguments[2]) : NULL);
    } while (timeout != NULL);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

int epoll_prepare_rounds(void)
{
    delay_name = PyUnicode_InternFromString("delay");
    first_name = PyUnicode_InternFromString("first");
    now_name = PyUnicode_InternFromString("now");
    ready_name = PyUnicode_InternFromString("ready");
    urgent_name = PyUnicode_InternFromString("urgent");
    return delay_name != NULL && first_name != NULL && now_name != NULL && ready_name != NULL && urgent_name != NULL;
}
