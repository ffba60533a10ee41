/*
 * selectors.BaseSelector over epoll (Linux), for mailworker.native.epoll. What a descriptor is watched for stands in an
 * array, where Python's own selectors keep an object or two for each; and `dispatch` calls handlers itself, so that a
 * round of the loop makes no objects for what is ready. epoll_rounds.c waits. _epoll.pyi has the types.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "epoll.h"

#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

static PyObject *selector_key; /* the class */

static PyObject *system_error(void)
{
    return PyErr_SetFromErrno(PyExc_OSError);
}

int epoll_take(PyObject *const *arguments, Py_ssize_t given, PyObject *keywords, const char *const *names,
               Py_ssize_t wanted, PyObject **values)
{
    Py_ssize_t by_name = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    Py_ssize_t i, j;

    if (given + by_name > wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", wanted, given + by_name);
        return 0;
    }
    for (i = 0; i < given; i++) {
        values[i] = arguments[i];
    }
    for (i = 0; i < by_name; i++) {
        for (j = given; j < wanted; j++) {
            if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i), names[j]) == 0) {
                break;
            }
        }
        if (j == wanted) {
            PyErr_Format(PyExc_TypeError, "unexpected argument %R", PyTuple_GET_ITEM(keywords, i));
            return 0;
        }
        values[j] = arguments[given + i];
    }
    for (i = 0; i < wanted; i++) {
        if (values[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "no argument '%s'", names[i]);
            return 0;
        }
    }
    return 1;
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

PyObject *epoll_new_key(int fd, uint32_t events, PyObject *data)
{
    PyTypeObject *type = (PyTypeObject *) selector_key;
    PyObject *key = type->tp_alloc(type, 4);
    PyObject *descriptor = PyLong_FromLong(fd);
    PyObject *mask = PyLong_FromLong((long) events);

    if (key == NULL || descriptor == NULL || mask == NULL) {
        Py_XDECREF(key);
        Py_XDECREF(descriptor);
        Py_XDECREF(mask);
        return NULL;
    }
    PyTuple_SET_ITEM(key, 0, Py_NewRef(descriptor));
    PyTuple_SET_ITEM(key, 1, descriptor);
    PyTuple_SET_ITEM(key, 2, mask);
    PyTuple_SET_ITEM(key, 3, Py_NewRef(data));
    return key;
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

static int add(struct epoll *self, PyObject *fileobj, uint32_t events, uint32_t extra_bits, PyObject *data)
{
    int fd = PyObject_AsFileDescriptor(fileobj);
    struct watch *watch;

    if (fd < 0 || !make_room(self, fd)) {
        return -1;
    }
    watch = &self->watches[fd];
    if (watch->handler != NULL) {
        PyErr_Format(PyExc_KeyError, "%d is already registered", fd);
        return -1;
    }
    if (control(self, EPOLL_CTL_ADD, fd, epoll_bits(events) | extra_bits, ++self->generation) < 0) {
        (void) system_error();
        return -1;
    }
    watch->generation = self->generation;
    watch->events = events;
    watch->handler = Py_NewRef(data);
    return fd;
}

static PyObject *epoll_register(PyObject *object, PyObject *const *arguments, Py_ssize_t given, PyObject *keywords)
{
    static const char *const names[] = {"fileobj", "events", "data"};
    PyObject *values[] = {NULL, NULL, Py_None};
    uint32_t events;
    int fd;

    if (!epoll_take(arguments, given, keywords, names, 3, values) || !take_events(values[1], &events)) {
        return NULL;
    }
    fd = add((struct epoll *) object, values[0], events, 0, values[2]);
    return fd < 0 ? NULL : epoll_new_key(fd, events, values[2]);
}

static PyObject *epoll_register_exclusive(PyObject *object, PyObject *const *arguments, Py_ssize_t given,
                                          PyObject *keywords)
{
    static const char *const names[] = {"fileobj", "data"};
    PyObject *values[] = {NULL, NULL};

    if (!epoll_take(arguments, given, keywords, names, 2, values) ||
        add((struct epoll *) object, values[0], READ, EPOLLEXCLUSIVE, values[1]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *epoll_unregister(PyObject *object, PyObject *fileobj)
{
    struct epoll *self = (struct epoll *) object;
    int fd;
    struct watch *watch = find(self, fileobj, &fd);
    PyObject *key = watch == NULL ? NULL : epoll_new_key(fd, watch->events, watch->handler);

    if (key == NULL) {
        return NULL;
    }
    Py_CLEAR(watch->handler);
    if (control(self, EPOLL_CTL_DEL, fd, 0, 0) < 0) {
        Py_DECREF(key);
        return system_error();
    }
    return key;
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

static PyObject *epoll_modify(PyObject *object, PyObject *const *arguments, Py_ssize_t given, PyObject *keywords)
{
    static const char *const names[] = {"fileobj", "events", "data"};
    PyObject *values[] = {NULL, NULL, Py_None};
    struct epoll *self = (struct epoll *) object;
    struct watch *watch;
    uint32_t events;
    int fd;

    if (!epoll_take(arguments, given, keywords, names, 3, values) || !take_events(values[1], &events)) {
        return NULL;
    }
    watch = find(self, values[0], &fd);
    if (watch == NULL) {
        return NULL;
    }
    if (events != watch->events) {
        if (control(self, EPOLL_CTL_MOD, fd, epoll_bits(events), watch->generation) < 0) {
            return system_error();
        }
        watch->events = events;
    }
    Py_SETREF(watch->handler, Py_NewRef(values[2]));
    return epoll_new_key(fd, events, values[2]);
}

static PyObject *epoll_get_map(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct epoll *self = (struct epoll *) object;
    PyObject *map = PyDict_New();
    int fd;

    for (fd = 0; map != NULL && fd < self->size; fd++) {
        if (self->watches[fd].handler != NULL) {
            PyObject *key = epoll_new_key(fd, self->watches[fd].events, self->watches[fd].handler);

            if (key == NULL || PyDict_SetItem(map, PyTuple_GET_ITEM(key, 1), key) < 0) {
                Py_CLEAR(map);
            }
            Py_XDECREF(key);
        }
    }
    return map;
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

#define NAMED(name, text) \
    {#name, (PyCFunction) (void (*)(void)) epoll_##name, METH_FASTCALL | METH_KEYWORDS, text}

static PyMethodDef methods[] = {
    NAMED(register, "register(fileobj, events, data=None): start to watch."),
    NAMED(register_exclusive, "register_exclusive(fileobj, data): watch a listening socket that is shared."),
    {"unregister", epoll_unregister, METH_O, "unregister(fileobj): stop to watch."},
    {"forget", epoll_forget, METH_O, "forget(fileobj): stop to watch what is closed at once."},
    NAMED(modify, "modify(fileobj, events, data=None): watch for other events, or for another handler."),
    NAMED(select, "select(timeout=None): wait, and say which keys are ready for what."),
    {"dispatch", (PyCFunction) (void (*)(void)) epoll_dispatch, METH_FASTCALL,
     "dispatch(loop, clock, timers, timeout): wait, set loop.now, and call the handlers."},
    {"get_map", epoll_get_map, METH_NOARGS, "get_map(): what is watched."},
    {"close", epoll_close, METH_NOARGS, "close(): watch no more."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject epoll_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native._epoll.Epoll",
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
    PyModuleDef_HEAD_INIT, .m_name = "mailworker.native._epoll", .m_size = -1,
};

static int prepare(void)
{
    PyObject *selectors = PyImport_ImportModule("selectors");

    if (selectors == NULL) {
        return 0;
    }
    selector_key = PyObject_GetAttrString(selectors, "SelectorKey");
    Py_DECREF(selectors);
    return selector_key != NULL && epoll_prepare_rounds();
}

PyMODINIT_FUNC PyInit__epoll(void)
{
    PyObject *module = prepare() ? PyModule_Create(&definition) : NULL;

    if (module != NULL && PyModule_AddType(module, &epoll_type) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
