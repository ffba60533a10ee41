/* What _epoll.c, the selector, and epoll_rounds.c, which waits for it, have in common. */

#include <stdint.h>

#include "events.h"

/* Whom a descriptor is watched for, and for what. */
struct watch {
    PyObject *handler;   /* NULL: the descriptor is not watched */
    uint32_t generation; /* no two watches that one round may meet have the same */
    uint32_t events;
};

struct epoll {
    PyObject_HEAD
    int fd; /* -1 once it is closed */
    int size;
    struct watch *watches; /* by descriptor */
    uint32_t generation;
};

/* The methods that wait, and what is to be called once before them: 0 with an exception. */
int epoll_prepare_rounds(void);
PyObject *epoll_wait_once(PyObject *object, PyObject *timeout);
PyObject *epoll_dispatch(PyObject *object, PyObject *const *arguments, Py_ssize_t given);
