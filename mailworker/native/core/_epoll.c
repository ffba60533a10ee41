/*
 * epoll (Linux), of which mailworker.native.core.epoll makes a selector. What a descriptor is watched for stands in an array,
 * where Python's own selectors keep an object or two for each; and `dispatch` calls handlers itself, so that a round of
 * the loop makes no objects for what is ready. epoll_rounds.c waits. _epoll.pyi has the types.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "epoll.h"

#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

static PyObject *system_error(void)
{
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* Whether `given` arguments are `wanted`; 0 with an exception. */
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

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mailworker.native.core._epoll",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__epoll(void)
{
    PyObject *module = epoll_prepare_rounds() ? PyModule_Create(&definition) : NULL;

    if (module != NULL && PyModule_AddType(module, &epoll_type) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
