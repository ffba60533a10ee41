/* The descriptors that an epoll instance watches; see epoll.c and round.c. */

#ifndef MAILWORKER_EPOLL_H
#define MAILWORKER_EPOLL_H

#include "core.h"

#include <sys/epoll.h>

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

static inline int system_error(void)
{
    PyErr_SetFromErrno(PyExc_OSError);
    return 0;
}

PyObject *epoll_dispatch(PyObject *object, PyObject *const *arguments, Py_ssize_t given);

#endif
