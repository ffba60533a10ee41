/* Writing to files and channels by one system call; see written.py. */

#include "core.h"
#include "path.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

struct direct {
    PyObject_HEAD
    PyObject *sink; /* has the descriptor */
    PyObject *head; /* bytes before each line */
    size_t longest; /* bytes of a line; 0 for any number */
    char held;
};

static struct path descriptor;

int prepare_writing(void)
{
    return path_make(&descriptor, "descriptor");
}

static PyObject *direct_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *sink, *head = NULL;
    Py_ssize_t longest = 0;
    struct direct *self;

    if (!PyArg_ParseTuple(arguments, "O|Sn", &sink, &head, &longest)) {
        return NULL;
    }
    self = (struct direct *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->sink = Py_NewRef(sink);
        self->longest = (size_t) longest;
        self->head = head == NULL ? PyBytes_FromStringAndSize(NULL, 0) : Py_NewRef(head);
        if (self->head == NULL) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

#define REFERENCES(REF) REF(sink) REF(head)
COLLECTED(direct, REFERENCES)

static int take_descriptor(struct direct *self, int *fd)
{
    PyObject *number = path_follow(&descriptor, self->sink);
    int taken = number != NULL && take_int(number, fd);

    Py_XDECREF(number);
    return taken;
}

Py_ssize_t direct_write(PyObject *object, const char *line, size_t length)
{
    struct direct *self = (struct direct *) object;
    Py_ssize_t head = PyBytes_GET_SIZE(self->head);
    struct iovec parts[] = {
        {PyBytes_AS_STRING(self->head), (size_t) head},
        {(char *) line, length},
    };
    ssize_t result;
    int fd;

    if (self->longest != 0 && length > self->longest) {
        errno = EMSGSIZE;
        (void) PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (!take_descriptor(self, &fd)) {
        return -1;
    }
    do {
        result = writev(fd, parts, 2);
    } while (result < 0 && errno == EINTR);
    if (result < 0) {
        (void) PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return (Py_ssize_t) result > head ? (Py_ssize_t) result - head : 0;
}

int is_direct(PyObject *object)
{
    return Py_IS_TYPE(object, &direct_type) && !((struct direct *) object)->held;
}

static PyObject *write_one(PyObject *object, PyObject *line)
{
    Py_ssize_t taken;

    if (!is_bytes(line)) {
        return NULL;
    }
    taken = direct_write(object, PyBytes_AS_STRING(line), (size_t) PyBytes_GET_SIZE(line));
    return taken < 0 ? NULL : PyLong_FromSsize_t(taken);
}

static PyMemberDef direct_members[] = {
    {"held", T_BOOL, offsetof(struct direct, held), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef direct_methods[] = {
    {"write", write_one, METH_O, "write(line): write a line; gives how many of its bytes the system has taken."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject direct_type = {
    COLLECTED_TYPE("Direct", direct, "Writes each line by one system call.", 0),
    .tp_new = direct_new,
    .tp_members = direct_members,
    .tp_methods = direct_methods,
};
