/*
 * epoll (Linux), of which mailworker.native.core.epoll makes a selector. An array holds what descriptors are watched
 * for, where Python's own selectors keep one or two objects for each. `dispatch` calls handlers itself, so a round of
 * the loop makes no objects for ready descriptors. _epoll.pyi has the types.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "events.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_CALL 512 /* as nginx's epoll_events */

/* The handler of a descriptor, and the events that it waits for. */
struct watch {
    PyObject *handler;   /* NULL: the descriptor is not watched */
    uint32_t generation; /* tells it from earlier watches of the same descriptor */
    uint32_t events;
};

struct epoll {
    PyObject_HEAD
    int fd; /* -1 once it is closed */
    int size;
    struct watch *watches; /* by descriptor */
    uint32_t generation;
};

static PyObject *delay_name, *first_name, *now_name, *ready_name, *urgent_name;

static PyObject *system_error(void)
{
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* Checks the number of arguments; 0 with an exception. */
static int counted(Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", wanted, given);
    }
    return given == wanted;
}

static int take_events(PyObject *argument, uint32_t *events)
{
    long value = PyLong_AsLong(argument);

    if (value == -1 && PyErr_Occurred()) {
        return 0;
    }
    if (value < READ || value > (READ | WRITE)) {
        PyErr_Format(PyExc_ValueError, "Invalid events: %ld", value);
        return 0;
    }
    *events = (uint32_t) value;
    return 1;
}

/* What `fileobj`, a descriptor or something that has one, is watched for; NULL with an exception if it is not. */
static struct watch *find(struct epoll *self, PyObject *fileobj, int *fd)
{
    *fd = PyObject_AsFileDescriptor(fileobj);
    if (*fd < 0) {
        return NULL;
    }
    if (*fd >= self->size || self->watches[*fd].handler == NULL) {
        PyErr_Format(PyExc_KeyError, "%d is not registered", *fd);
        return NULL;
    }
    return &self->watches[*fd];
}

static int control(struct epoll *self, int operation, int fd, uint32_t bits, uint32_t generation)
{
    struct epoll_event event = {.events = bits, .data.u64 = (uint64_t) generation << 32 | (uint32_t) fd};

    return epoll_ctl(self->fd, operation, fd, &event);
}

static uint32_t epoll_bits(uint32_t events)
{
    return (events & READ ? EPOLLIN : 0U) | (events & WRITE ? EPOLLOUT : 0U);
}

static int make_room(struct epoll *self, int fd)
{
    int size = self->size < 32 ? 32 : self->size;
    struct watch *larger;

    if (fd < self->size) {
        return 1;
    }
    while (size <= fd) {
        size = size > INT_MAX / 2 ? INT_MAX : size * 2;
    }
    larger = PyMem_Realloc(self->watches, (size_t) size * sizeof(*larger));
    if (larger == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    memset(larger + self->size, 0, (size_t) (size - self->size) * sizeof(*larger));
    self->watches = larger;
    self->size = size;
    return 1;
}

static int add(struct epoll *self, PyObject *fileobj, uint32_t events, uint32_t extra_bits, PyObject *handler)
{
    int fd = PyObject_AsFileDescriptor(fileobj);
    struct watch *watch;

    if (fd < 0 || !make_room(self, fd)) {
        return 0;
    }
    watch = &self->watches[fd];
    if (watch->handler != NULL) {
        PyErr_Format(PyExc_KeyError, "%d is already registered", fd);
        return 0;
    }
    if (control(self, EPOLL_CTL_ADD, fd, epoll_bits(events) | extra_bits, ++self->generation) < 0) {
        (void) system_error();
        return 0;
    }
    watch->generation = self->generation;
    watch->events = events;
    watch->handler = Py_NewRef(handler);
    return 1;
}

static PyObject *epoll_watch(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    uint32_t events;

    if (!counted(given, 3) || !take_events(arguments[1], &events) ||
        !add((struct epoll *) object, arguments[0], events, 0, arguments[2])) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *epoll_watch_exclusive(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    if (!counted(given, 2) || !add((struct epoll *) object, arguments[0], READ, EPOLLEXCLUSIVE, arguments[1])) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *epoll_unwatch(PyObject *object, PyObject *fileobj)
{
    struct epoll *self = (struct epoll *) object;
    int fd;
    struct watch *watch = find(self, fileobj, &fd);

    if (watch == NULL) {
        return NULL;
    }
    Py_CLEAR(watch->handler);
    if (control(self, EPOLL_CTL_DEL, fd, 0, 0) < 0) {
        return system_error();
    }
    Py_RETURN_NONE;
}

static PyObject *epoll_forget(PyObject *object, PyObject *fileobj)
{
    int fd;
    struct watch *watch = find((struct epoll *) object, fileobj, &fd);

    if (watch == NULL) {
        return NULL;
    }
    Py_CLEAR(watch->handler);
    Py_RETURN_NONE;
}

static PyObject *epoll_change(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct epoll *self = (struct epoll *) object;
    struct watch *watch;
    uint32_t events;
    int fd;

    if (!counted(given, 3) || !take_events(arguments[1], &events)) {
        return NULL;
    }
    watch = find(self, arguments[0], &fd);
    if (watch == NULL) {
        return NULL;
    }
    if (events != watch->events) {
        if (control(self, EPOLL_CTL_MOD, fd, epoll_bits(events), watch->generation) < 0) {
            return system_error();
        }
        watch->events = events;
    }
    Py_SETREF(watch->handler, Py_NewRef(arguments[2]));
    Py_RETURN_NONE;
}

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

/* Whether another thread may want the interpreter's lock. mailworker's processes have one thread, and keep the lock. */
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

/* Waits, and returns how many events there are. After a signal it waits for the rest of the time (PEP 475). */
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
        return READ | WRITE; /* the next call on the descriptor tells which */
    }
    return (bits & EPOLLIN ? READ : 0U) | (bits & EPOLLOUT ? WRITE : 0U);
}

/* The watch that an event belongs to, and what its handler is ready for; NULL if the watch has ended since. */
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

static PyObject *epoll_wait_once(PyObject *object, PyObject *timeout)
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

/* Waits once, notes the time as loop.now and calls the handlers of ready descriptors. */
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

/* The timeout of the next round; NULL where the loop has something to do first, or with an exception. */
static PyObject *next_timeout(PyObject *loop, PyObject *timers)
{
    PyObject *now = PyObject_GetAttr(loop, now_name), *timeout = NULL;

    if (now != NULL && has_business(loop, now, timers) == 0) {
        timeout = PyObject_CallMethodOneArg(timers, delay_name, now);
    }
    Py_XDECREF(now);
    return timeout;
}

static PyObject *epoll_dispatch(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
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

static PyObject *epoll_watched(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct epoll *self = (struct epoll *) object;
    PyObject *watched = PyList_New(0);
    int fd;

    for (fd = 0; watched != NULL && fd < self->size; fd++) {
        const struct watch *watch = &self->watches[fd];

        if (watch->handler != NULL) {
            PyObject *entry = Py_BuildValue("iIO", fd, watch->events, watch->handler);

            if (entry == NULL || PyList_Append(watched, entry) < 0) {
                Py_CLEAR(watched);
            }
            Py_XDECREF(entry);
        }
    }
    return watched;
}

static int epoll_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct epoll *self = (struct epoll *) object;
    int fd;

    for (fd = 0; fd < self->size; fd++) {
        Py_VISIT(self->watches[fd].handler);
    }
    return 0;
}

static int epoll_clear(PyObject *object)
{
    struct epoll *self = (struct epoll *) object;
    int fd;

    for (fd = 0; fd < self->size; fd++) {
        Py_CLEAR(self->watches[fd].handler);
    }
    return 0;
}

static PyObject *epoll_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct epoll *self = (struct epoll *) object;
    int fd = self->fd;

    self->fd = -1;
    (void) epoll_clear(object);
    if (fd >= 0) {
        close(fd);
    }
    Py_RETURN_NONE;
}

static PyObject *epoll_new(PyTypeObject *type, PyObject *Py_UNUSED(arguments), PyObject *Py_UNUSED(keywords))
{
    struct epoll *self = (struct epoll *) type->tp_alloc(type, 0);

    if (self != NULL) {
        self->fd = epoll_create1(EPOLL_CLOEXEC);
        if (self->fd < 0) {
            (void) system_error();
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static void epoll_dealloc(PyObject *object)
{
    struct epoll *self = (struct epoll *) object;

    PyObject_GC_UnTrack(object);
    (void) epoll_clear(object);
    PyMem_Free(self->watches);
    if (self->fd >= 0) {
        close(self->fd);
    }
    Py_TYPE(object)->tp_free(object);
}

#define MANY(name, text) {#name, (PyCFunction) (void (*)(void)) epoll_##name, METH_FASTCALL, text}

static PyMethodDef methods[] = {
    MANY(watch, "watch(fileobj, events, handler): start to watch."),
    MANY(watch_exclusive, "watch_exclusive(fileobj, handler): watch a listening socket that is shared."),
    MANY(change, "change(fileobj, events, handler): watch for other events, or for another handler."),
    {"unwatch", epoll_unwatch, METH_O, "unwatch(fileobj): stop to watch."},
    {"forget", epoll_forget, METH_O, "forget(fileobj): stop to watch what is closed at once."},
    {"wait", epoll_wait_once, METH_O, "wait(timeout): which descriptors are ready for what."},
    MANY(dispatch, "dispatch(loop, clock, timers, timeout): wait, set loop.now, and call the handlers."),
    {"watched", epoll_watched, METH_NOARGS, "watched(): descriptors, events and handlers."},
    {"close", epoll_close, METH_NOARGS, "close(): watch no more."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject epoll_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._epoll.Epoll",
    .tp_doc = "An epoll instance, and the handlers of what it watches.",
    .tp_basicsize = sizeof(struct epoll),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = epoll_new,
    .tp_dealloc = epoll_dealloc,
    .tp_traverse = epoll_traverse,
    .tp_clear = epoll_clear,
    .tp_methods = methods,
};

static int prepare_names(void)
{
    delay_name = PyUnicode_InternFromString("delay");
    first_name = PyUnicode_InternFromString("first");
    now_name = PyUnicode_InternFromString("now");
    ready_name = PyUnicode_InternFromString("ready");
    urgent_name = PyUnicode_InternFromString("urgent");
    return delay_name != NULL && first_name != NULL && now_name != NULL && ready_name != NULL && urgent_name != NULL;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mailworker.native.core._epoll",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__epoll(void)
{
    PyObject *module = prepare_names() ? PyModule_Create(&definition) : NULL;

    if (module != NULL && PyModule_AddType(module, &epoll_type) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
