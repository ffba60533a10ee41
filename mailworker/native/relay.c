/*
 * The inner step of the relay: read from one side into a scratch page and write to the other, plain or TLS,
 * without an allocation. Python decides who is read, how much, and what becomes of bytes that were not taken.
 */

#include "openssl.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; SIGPIPE is ignored in every process anyway, which TLS relies on */
#endif

/* One call moves at most this many chunks, so that a bulk download never starves other sessions. */
#define ROUNDS 4

/* Bytes received, 0 at the end of input, or -errno. */
ssize_t socket_receive(int fd, void *page, size_t limit)
{
    ssize_t result;

    do {
        result = recv(fd, page, limit, MSG_DONTWAIT);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -(ssize_t) errno : result;
}

/* Bytes sent, or -errno. */
ssize_t socket_send(int fd, const void *data, size_t length)
{
    ssize_t result;

    do {
        result = send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -(ssize_t) errno : result;
}

static ssize_t socket_outcome(ssize_t result, int want)
{
    if (result >= 0) {
        return result;
    }
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
        return want;
    }
    errno = (int) -result;
    return IO_SYSTEM;
}

static int clamp(size_t length)
{
    return length > INT_MAX ? INT_MAX : (int) length;
}

static ssize_t take(int fd, SSL *connection, void *page, size_t limit)
{
    if (connection != NULL) {
        return connection_read(connection, page, clamp(limit));
    }
    return socket_outcome(socket_receive(fd, page, limit), IO_WANT_READ);
}

static ssize_t give(int fd, SSL *connection, const void *data, size_t length)
{
    if (connection != NULL) {
        return connection_write(connection, data, clamp(length));
    }
    return socket_outcome(socket_send(fd, data, length), IO_WANT_WRITE);
}

/* Sorts a result that is no number of bytes: `blocked` or `failed`, with the details in the pump. */
static int stopped(struct pump *pump, ssize_t result, int blocked, int failed)
{
    if (result == IO_WANT_READ || result == IO_WANT_WRITE) {
        pump->want = (int) result;
        return blocked;
    }
    pump->error = result == IO_SYSTEM ? errno : 0;
    return failed;
}

/* Writes until all is taken. RELAY_MORE: it was. */
static int drain(struct pump *pump, const unsigned char *data, size_t length, int fd, SSL *connection)
{
    pump->offset = 0;
    pump->length = length;
    while (pump->length > 0) {
        ssize_t result = give(fd, connection, data + pump->offset, pump->length);

        if (result < 0) {
            return stopped(pump, result, RELAY_SINK_BLOCKED, RELAY_SINK_FAILED);
        }
        pump->offset += (size_t) result;
        pump->length -= (size_t) result;
        pump->moved += (size_t) result;
    }
    return RELAY_MORE;
}

int pump_flush(struct pump *pump, const void *data, size_t length, int sink_fd, SSL *sink)
{
    pump->moved = 0;
    return drain(pump, data, length, sink_fd, sink);
}

int pump_move(struct pump *pump, int source_fd, SSL *source, int sink_fd, SSL *sink, size_t limit)
{
    int round, status;

    if (limit > pump->size) {
        limit = pump->size;
    }
    pump->moved = pump->length = 0;
    for (round = 0; round < ROUNDS; round++) {
        ssize_t result = take(source_fd, source, pump->page, limit);

        if (result == 0) {
            return RELAY_END;
        }
        if (result < 0) {
            return stopped(pump, result, RELAY_SOURCE_BLOCKED, RELAY_SOURCE_FAILED);
        }
        status = drain(pump, pump->page, (size_t) result, sink_fd, sink);
        if (status != RELAY_MORE) {
            return status;
        }
        if (source == NULL && (size_t) result < limit) { /* the socket is empty: spare the call that would say so */
            pump->want = IO_WANT_READ;
            return RELAY_SOURCE_BLOCKED;
        }
    }
    return RELAY_MORE;
}
