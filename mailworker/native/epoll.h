/* What _epoll.c, the selector, and epoll_rounds.c, which waits for it, have in common. */

#include <stdint.h>

#include "events.h"

/* What `data` of selectors is, a handler for `dispatch`. */
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

/*
 * Arguments by place or by name, as BaseSelector's are; a missing one stays what it is, or is an error if that is NULL.
 * 0 with an exception.
 */
int epoll_take(PyObject *const *arguments, Py_ssize_t given, PyObject *keywords, const char *const *names,
               Py_ssize_t wanted, PyObject **values);

/* SelectorKey(fd, fd, events, data), without the Python code of named tuples. */
PyObject *epoll_new_key(int fd, uint32_t events, PyObject *data);

/* The methods that wait, and what is to be called once before them: 0 with an exception. */
int epoll_prepare_rounds(void);
PyObject *epoll_select(PyObject *object, PyObject *const *arguments, Py_ssize_t given, PyObject *keywords);
PyObject *epoll_dispatch(PyObject *object, PyObject *const *arguments, Py_ssize_t given);
