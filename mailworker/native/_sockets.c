/*
 * Sockets by their descriptors, which never block. Against Python's own socket objects a connection costs one object
 * less, and a call neither an exception where it would block nor the interpreter's lock, which nobody else waits for:
 * mailworker's processes have one thread. Every function gives -errno, a negative number, where its call fails.
 * _sockets.pyi has their types.
 */

#ifdef __linux__
#define _GNU_SOURCE /* accept4 */
#endif
#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; SIGPIPE is ignored in every process anyway */
#endif

/* Every read goes through one page, so that a connection that waits holds no buffer. */
#define PAGE_SIZE 65536
static char page[PAGE_SIZE];

union address {
    struct sockaddr any;
    struct sockaddr_in inet;
    struct sockaddr_in6 inet6;
    struct sockaddr_un local;
    struct sockaddr_storage largest;
};

static PyObject *failure(void)
{
    return PyLong_FromLong(-(long) errno);
}

/* Integers come first in the arguments of all functions here. */
static int take_integers(PyObject *const *arguments, Py_ssize_t given, Py_ssize_t wanted, Py_ssize_t integers,
                         long *values)
{
    Py_ssize_t i;

    if (given != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", wanted, given);
        return 0;
    }
    for (i = 0; i < integers; i++) {
        values[i] = PyLong_AsLong(arguments[i]);
        if (values[i] == -1 && PyErr_Occurred()) {
            return 0;
        }
    }
    return 1;
}

/* (host, port); an empty host for unix sockets. */
static PyObject *endpoint(const union address *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    int port = 0;

    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->inet.sin_addr, host, sizeof(host));
        port = ntohs(address->inet.sin_port);
    } else if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->inet6.sin6_addr, host, sizeof(host));
        port = ntohs(address->inet6.sin6_port);
    }
    return Py_BuildValue("si", host, port);
}

#ifdef SOCK_NONBLOCK
#define MAKE_SOCKET(family) socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
#define ACCEPT(fd, address, length) accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC)
#else
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

#define MAKE_SOCKET(family) prepared(socket(family, SOCK_STREAM, 0))
#define ACCEPT(fd, address, length) prepared(accept(fd, address, length))
#endif

static PyObject *sockets_accept(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    union address address = {0};
    socklen_t length = sizeof(address);
    long values[1];
    int fd;

    if (!take_integers(arguments, given, 1, 1, values)) {
        return NULL;
    }
    fd = ACCEPT((int) values[0], &address.any, &length);
    if (fd < 0) {
        return failure();
    }
    return Py_BuildValue("iN", fd, endpoint(&address));
}

static PyObject *sockets_local_address(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    union address address = {0};
    socklen_t length = sizeof(address);
    long values[1];

    if (!take_integers(arguments, given, 1, 1, values)) {
        return NULL;
    }
    return getsockname((int) values[0], &address.any, &length) < 0 ? failure() : endpoint(&address);
}

/* Fills `address` from a numeric host; its length, 0 where it is none. */
static socklen_t parse_host(union address *address, const char *host, int port)
{
    if (inet_pton(AF_INET, host, &address->inet.sin_addr) == 1) {
        address->inet.sin_family = AF_INET;
        address->inet.sin_port = htons((uint16_t) port);
        return sizeof(address->inet);
    }
    if (inet_pton(AF_INET6, host, &address->inet6.sin6_addr) == 1) {
        address->inet6.sin6_family = AF_INET6;
        address->inet6.sin6_port = htons((uint16_t) port);
        return sizeof(address->inet6);
    }
    errno = EAFNOSUPPORT;
    return 0;
}

static socklen_t parse_path(union address *address, const char *path, Py_ssize_t length)
{
    if ((size_t) length >= sizeof(address->local.sun_path)) {
        errno = ENAMETOOLONG;
        return 0;
    }
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, path, (size_t) length);
    return sizeof(address->local);
}

static PyObject *sockets_open(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    long values[1];
    int fd;

    if (!take_integers(arguments, given, 1, 1, values)) {
        return NULL;
    }
    fd = MAKE_SOCKET((int) values[0]);
    return fd < 0 ? failure() : PyLong_FromLong(fd);
}

static PyObject *connected(int fd, const union address *address, socklen_t length)
{
    if (length == 0 || (connect(fd, &address->any, length) < 0 && errno != EINPROGRESS)) {
        return failure();
    }
    return PyLong_FromLong(0);
}

static PyObject *sockets_connect(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    union address address = {0};
    const char *host;
    int fd, port, one = 1;

    if (!PyArg_ParseTuple(arguments, "isi", &fd, &host, &port)) {
        return NULL;
    }
    /* else a client's small commands would wait for a delayed acknowledgment: 40 ms */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0) {
        return failure();
    }
    return connected(fd, &address, parse_host(&address, host, port));
}

static PyObject *sockets_connect_local(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    union address address = {0};
    const char *path;
    Py_ssize_t length;
    int fd;

    if (!PyArg_ParseTuple(arguments, "iy#", &fd, &path, &length)) {
        return NULL;
    }
    return connected(fd, &address, parse_path(&address, path, length));
}

static PyObject *receive(PyObject *const *arguments, Py_ssize_t given, int flags)
{
    long values[2];
    ssize_t result;

    if (!take_integers(arguments, given, 2, 2, values)) {
        return NULL;
    }
    do {
        result = recv((int) values[0], page, (size_t) (values[1] < PAGE_SIZE ? values[1] : PAGE_SIZE), flags);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? failure() : PyBytes_FromStringAndSize(page, result);
}

static PyObject *sockets_recv(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return receive(arguments, given, MSG_DONTWAIT);
}

static PyObject *sockets_peek(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return receive(arguments, given, MSG_DONTWAIT | MSG_PEEK);
}

static PyObject *sockets_send(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    long values[1];
    ssize_t result;
    char *data;
    Py_ssize_t length;

    if (!take_integers(arguments, given, 2, 1, values) || PyBytes_AsStringAndSize(arguments[1], &data, &length) < 0) {
        return NULL;
    }
    do {
        result = send((int) values[0], data, (size_t) length, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? failure() : PyLong_FromSsize_t(result);
}

static PyObject *sockets_end_output(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    long values[1];

    if (!take_integers(arguments, given, 1, 1, values)) {
        return NULL;
    }
    return shutdown((int) values[0], SHUT_WR) < 0 ? failure() : PyLong_FromLong(0);
}

#define FAST(name, text) {#name, (PyCFunction) (void (*)(void)) sockets_##name, METH_FASTCALL, text}

static PyMethodDef functions[] = {
    FAST(accept, "accept(listening): the descriptor and the peer's address."),
    FAST(local_address, "local_address(descriptor): where a connection was made to."),
    FAST(open, "open(family): a new descriptor."),
    {"connect", sockets_connect, METH_VARARGS, "connect(descriptor, host, port): 0 where it is done or under way."},
    {"connect_local", sockets_connect_local, METH_VARARGS, "connect_local(descriptor, path): as connect."},
    FAST(recv, "recv(descriptor, limit): bytes."),
    FAST(peek, "peek(descriptor, limit): bytes that stay to be read."),
    FAST(send, "send(descriptor, data): how many bytes were taken."),
    FAST(end_output, "end_output(descriptor): 0 where FIN is sent."),
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "mailworker.native._sockets", .m_size = -1, .m_methods = functions,
};

PyMODINIT_FUNC PyInit__sockets(void)
{
    return PyModule_Create(&definition);
}
