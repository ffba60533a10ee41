/*
 * Non-blocking sockets by their descriptors. A connection needs one object less than with Python's own sockets, and a
 * call that would block raises no exception. Calls keep the GIL, since mailworker's processes have one thread.
 * event/sockets.py describes the results of failed calls.
 */

#ifdef __linux__
#define _GNU_SOURCE 1 /* accept4; as pyconfig.h has it */
#endif

#include "core.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PEEK_SIZE 4096 /* most bytes of one peek */

union address {
    struct sockaddr any;
    struct sockaddr_in inet;
    struct sockaddr_in6 inet6;
    struct sockaddr_un local;
    struct sockaddr_storage largest;
};

static PyObject *inet_address; /* the class of mailworker.model */
static PyObject *nameless; /* UnixAddress("") */

/* The text of an address. IPv4 is formatted here, as inet_ntop() needs a thousand instructions for it. */
static PyObject *host_text(int family, const void *number)
{
    char text[INET6_ADDRSTRLEN];
    char *at = text;
    int i;

    if (family != AF_INET) {
        return PyUnicode_FromString(inet_ntop(family, number, text, sizeof(text)));
    }
    for (i = 0; i < 4; i++) {
        unsigned int byte = ((const unsigned char *) number)[i];

        if (byte >= 100) {
            *at++ = (char) ('0' + byte / 100);
        }
        if (byte >= 10) {
            *at++ = (char) ('0' + byte / 10 % 10);
        }
        *at++ = (char) ('0' + byte % 10);
        *at++ = '.';
    }
    return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, text, at - text - 1);
}

/* The object for a peer's or our own address; unix sockets have no name. */
static PyObject *new_address(const union address *address)
{
    int is_inet = address->any.sa_family == AF_INET;
    const void *number = is_inet ? (const void *) &address->inet.sin_addr : &address->inet6.sin6_addr;
    PyObject *host, *port, *made = NULL;

    if (!is_inet && address->any.sa_family != AF_INET6) {
        return Py_NewRef(nameless);
    }
    host = host_text(address->any.sa_family, number);
    port = PyLong_FromLong(ntohs(is_inet ? address->inet.sin_port : address->inet6.sin6_port));
    if (host != NULL && port != NULL) {
        made = ((PyTypeObject *) inet_address)
                   ->tp_alloc((PyTypeObject *) inet_address, 2); /* a named tuple, without a call of its constructor */
    }
    if (made == NULL) {
        Py_XDECREF(host);
        Py_XDECREF(port);
        return NULL;
    }
#if PY_VERSION_HEX >= 0x030E0000
    ((PyTupleObject *) made)->ob_hash = -1; /* not computed yet */
#endif
    PyTuple_SET_ITEM(made, 0, host);
    PyTuple_SET_ITEM(made, 1, port);
    return made;
}

static int prepared(int fd)
{
    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

#ifdef SOCK_NONBLOCK
#define MAKE_SOCKET(family) socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)

/* A sandbox may lack or refuse accept4(). */
static int accepted(int listening, struct sockaddr *address, socklen_t *length)
{
    int fd = accept4(listening, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    return fd < 0 && (errno == ENOSYS || errno == EPERM) ? prepared(accept(listening, address, length)) : fd;
}
#else
#define MAKE_SOCKET(family) prepared(socket(family, SOCK_STREAM, 0))
#define accepted(listening, address, length) prepared(accept(listening, address, length))
#endif

static PyObject *sockets_hand_on(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    union address address = {0};
    socklen_t length = sizeof(address);
    PyObject *both[2];
    int fd, fine;

    if (!counted(given, 2) || !take_int(arguments[0], &fd)) {
        return NULL;
    }
    fd = accepted(fd, &address.any, &length);
    if (fd < 0) {
        return PyLong_FromLong(-(long) errno);
    }
    both[0] = PyLong_FromLong(fd);
    both[1] = new_address(&address);
    fine = both[0] != NULL && both[1] != NULL;
    if (!fine) {
        close(fd);
    }
    fine = fine && done(PyObject_Vectorcall(arguments[1], both, 2, NULL));
    Py_XDECREF(both[0]);
    Py_XDECREF(both[1]);
    return fine ? PyLong_FromLong(0) : NULL;
}

static PyObject *sockets_local_address(PyObject *Py_UNUSED(module), PyObject *argument)
{
    union address address = {0};
    socklen_t length = sizeof(address);
    int fd;

    if (!take_int(argument, &fd)) {
        return NULL;
    }
    return getsockname(fd, &address.any, &length) < 0 ? Py_NewRef(nameless) : new_address(&address);
}

/* The next functions return the length of the address, 0 with errno if there is none, or -1 with an exception. */
static int parse_inet(union address *address, PyObject *host, PyObject *port)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(host, &length);
    long number = PyLong_AsLong(port);

    if (text == NULL || (number == -1 && PyErr_Occurred())) {
        return -1;
    }
    errno = EAFNOSUPPORT;
    if (strlen(text) != (size_t) length) {
        return 0;
    }
    if (inet_pton(AF_INET, text, &address->inet.sin_addr) == 1) {
        address->inet.sin_family = AF_INET;
        address->inet.sin_port = htons((uint16_t) number);
        return sizeof(address->inet);
    }
    if (inet_pton(AF_INET6, text, &address->inet6.sin6_addr) == 1) {
        address->inet6.sin6_family = AF_INET6;
        address->inet6.sin6_port = htons((uint16_t) number);
        return sizeof(address->inet6);
    }
    return 0;
}

static int parse_path(union address *address, PyObject *path)
{
    PyObject *bytes = PyUnicode_AsEncodedString(path, "utf-8", "surrogateescape");
    size_t length = bytes == NULL ? 0 : (size_t) PyBytes_GET_SIZE(bytes);
    int fits = length < sizeof(address->local.sun_path);

    if (bytes == NULL) {
        return -1;
    }
    if (fits) {
        address->local.sun_family = AF_UNIX;
        memcpy(address->local.sun_path, PyBytes_AS_STRING(bytes), length);
    }
    Py_DECREF(bytes);
    errno = ENAMETOOLONG;
    return fits ? sizeof(address->local) : 0;
}

static int parse(union address *address, PyObject *object)
{
    PyObject *path;
    int length;

    if (Py_IS_TYPE(object, (PyTypeObject *) inet_address)) {
        return parse_inet(address, PyTuple_GET_ITEM(object, 0), PyTuple_GET_ITEM(object, 1));
    }
    path = PyObject_GetAttr(object, names.path);
    length = path == NULL ? -1 : parse_path(address, path);
    Py_XDECREF(path);
    return length;
}

int dialled(PyObject *object, struct destination *destination, const char **call, int *number)
{
    union address address = {0};
    int length = parse(&address, object), fd = -1;

    *call = length < 0 ? NULL : "connect()";
    if (length > 0) {
        fd = MAKE_SOCKET(address.any.sa_family);
        if (fd < 0) {
            *call = "socket()";
        }
    }
    *number = errno;
    if (fd >= 0 && address.any.sa_family != AF_UNIX) {
        destination->length = (socklen_t) length;
        memcpy(&destination->address, &address, (size_t) length);
    } else if (fd >= 0 && connect(fd, &address.any, (socklen_t) length) < 0 && errno != EINPROGRESS) {
        *number = errno;
        close(fd);
        fd = -1;
    }
    return fd;
}

void no_delay(int fd)
{
    int one = 1;

    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static PyObject *sockets_peek(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    char page[PEEK_SIZE];
    ssize_t result;
    int fd, limit;

    if (!PyArg_ParseTuple(arguments, "ii", &fd, &limit)) {
        return NULL;
    }
    if (limit < 0) {
        return PyErr_Format(PyExc_ValueError, "negative limit");
    }
    do {
        result = recv(fd, page, (size_t) (limit < PEEK_SIZE ? limit : PEEK_SIZE), MSG_DONTWAIT | MSG_PEEK);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? PyLong_FromLong(-(long) errno) : PyBytes_FromStringAndSize(page, result);
}

PyMethodDef socket_functions[] = {
    {"hand_on", FAST(sockets_hand_on),
     "hand_on(listening, accepted): accept a connection, and call `accepted` with the descriptor and the address."},
    {"local_address", sockets_local_address, METH_O,
     "local_address(descriptor): the address of this side of a connection."},
    {"peek", sockets_peek, METH_VARARGS,
     "peek(descriptor, limit): read up to `limit` bytes that stay to be read (MSG_PEEK)."},
    {NULL, NULL, 0, NULL},
};

int prepare_sockets(void)
{
    PyObject *model = PyImport_ImportModule("mailworker.model");

    if (model == NULL) {
        return 0;
    }
    inet_address = PyObject_GetAttrString(model, "InetAddress");
    nameless = PyObject_CallMethod(model, "UnixAddress", "s", "");
    Py_DECREF(model);
    if (inet_address != NULL && nameless != NULL && !PyType_IsSubtype((PyTypeObject *) inet_address, &PyTuple_Type)) {
        return raised(PyExc_TypeError, "an InetAddress is a tuple");
    }
    return inet_address != NULL && nameless != NULL;
}
