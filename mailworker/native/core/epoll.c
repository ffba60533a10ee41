/*
 * epoll (Linux). An array holds the events and handlers of descriptors, where Python's own selectors keep one or two
 * objects for each; round.c serves those that are ready.
 */

#include "epoll.h"

#include <unistd.h>

static int is_watched(const struct epoll *self, int fd)
{
    return fd >= 0 && fd < self->size && self->watches[fd].handler != NULL;
}

/* The watch of a descriptor; NULL with an exception if it has none. */
static struct watch *find(struct epoll *self, int fd)
{
    if (!is_watched(self, fd)) {
        PyErr_Format(PyExc_KeyError, "%d is not registered", fd);
        return NULL;
    }
    return &self->watches[fd];
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

static int is_events(uint32_t events)
{
    int fine = events >= READ && events <= (READ | WRITE);

    if (!fine) {
        PyErr_Format(PyExc_ValueError, "Invalid events: %u", events);
    }
    return fine;
}

/* Makes room for the watch of a descriptor that the system knows. */
static int make_room(struct epoll *self, int fd)
{
    int size = self->size < 32 ? 32 : self->size;
    struct watch *larger;

    if (fd < self->size) {
        return 1;
    }
    while (size <= fd) {
        size *= 2; /* the system's descriptors are below 2^30 */
    }
    larger = PyMem_Realloc(self->watches, (size_t) size * sizeof(*larger));
    if (larger == NULL) {
        return done(PyErr_NoMemory());
    }
    memset(larger + self->size, 0, (size_t) (size - self->size) * sizeof(*larger));
    self->watches = larger;
    self->size = size;
    return 1;
}

static int add(struct epoll *self, int fd, uint32_t events, uint32_t extra_bits, PyObject *handler)
{
    struct watch *watch;

    if (!is_events(events)) {
        return 0;
    }
    if (is_watched(self, fd)) {
        PyErr_Format(PyExc_KeyError, "%d is already registered", fd);
        return 0;
    }
    if (control(self, EPOLL_CTL_ADD, fd, epoll_bits(events) | extra_bits, ++self->generation) < 0) {
        return system_error();
    }
    if (!make_room(self, fd)) {
        (void) control(self, EPOLL_CTL_DEL, fd, 0, 0);
        return 0;
    }
    watch = &self->watches[fd];
    watch->generation = self->generation;
    watch->events = events;
    watch->handler = Py_NewRef(handler);
    return 1;
}

static int change(struct epoll *self, int fd, uint32_t events, PyObject *handler)
{
    struct watch *watch = find(self, fd);

    if (watch == NULL || !is_events(events)) {
        return 0;
    }
    if (events != watch->events) {
        if (control(self, EPOLL_CTL_MOD, fd, epoll_bits(events), watch->generation) < 0) {
            return system_error();
        }
        watch->events = events;
    }
    Py_SETREF(watch->handler, Py_NewRef(handler));
    return 1;
}

int epoll_drop(struct epoll *self, int fd)
{
    struct watch *watch = find(self, fd);

    if (watch != NULL) {
        Py_CLEAR(watch->handler);
    }
    return watch != NULL;
}

int epoll_set(struct epoll *self, int fd, int watched, int events, PyObject *handler)
{
    if (events == 0) {
        return epoll_drop(self, fd) && (control(self, EPOLL_CTL_DEL, fd, 0, 0) == 0 || system_error());
    }
    return watched ? change(self, fd, (uint32_t) events, handler) : add(self, fd, (uint32_t) events, 0, handler);
}

/* The methods for Python. */

static PyObject *epoll_watch(PyObject *object, PyObject *arguments)
{
    PyObject *handler;
    int fd, events;

    return none_if(PyArg_ParseTuple(arguments, "iiO", &fd, &events, &handler) &&
                   add((struct epoll *) object, fd, (uint32_t) events, 0, handler));
}

static PyObject *epoll_watch_exclusive(PyObject *object, PyObject *arguments)
{
    PyObject *handler;
    int fd;

    return none_if(PyArg_ParseTuple(arguments, "iO", &fd, &handler) &&
                   add((struct epoll *) object, fd, READ, EPOLLEXCLUSIVE, handler));
}

static PyObject *epoll_change(PyObject *object, PyObject *arguments)
{
    PyObject *handler;
    int fd, events;

    return none_if(PyArg_ParseTuple(arguments, "iiO", &fd, &events, &handler) &&
                   change((struct epoll *) object, fd, (uint32_t) events, handler));
}

static PyObject *epoll_unwatch(PyObject *object, PyObject *arguments)
{
    int fd;

    return none_if(PyArg_ParseTuple(arguments, "i", &fd) && epoll_set((struct epoll *) object, fd, READ, 0, NULL));
}

static PyObject *epoll_forget(PyObject *object, PyObject *arguments)
{
    int fd;

    return none_if(PyArg_ParseTuple(arguments, "i", &fd) && epoll_drop((struct epoll *) object, fd));
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
            system_error();
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static void epoll_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    Py_DECREF(epoll_close(object, NULL));
    PyMem_Free(((struct epoll *) object)->watches);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *epoll_method(PyObject *Py_UNUSED(object), void *Py_UNUSED(closure))
{
    return PyUnicode_FromString("epoll");
}

static PyGetSetDef epoll_properties[] = {
    {"method", epoll_method, NULL, "The method's name in the `use` directive.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef epoll_methods[] = {
    {"watch", epoll_watch, METH_VARARGS, "watch(descriptor, events, handler)"},
    {"watch_exclusive", epoll_watch_exclusive, METH_VARARGS, "watch_exclusive(descriptor, handler)"},
    {"change", epoll_change, METH_VARARGS, "change(descriptor, events, handler)"},
    {"unwatch", epoll_unwatch, METH_VARARGS, "unwatch(descriptor)"},
    {"forget", epoll_forget, METH_VARARGS, "forget(descriptor)"},
    {"dispatch", FAST(epoll_dispatch), "dispatch(loop, timeout)"},
    {"close", epoll_close, METH_NOARGS, "close()"},
    {NULL, NULL, 0, NULL},
};

PyTypeObject epoll_type = {
    COLLECTED_TYPE("Epoll", epoll,
                   "A Poller (see event/poller.py): an epoll instance and the handlers of its descriptors.",
                   Py_TPFLAGS_BASETYPE),
    .tp_new = epoll_new,
    .tp_methods = epoll_methods,
    .tp_getset = epoll_properties,
};
