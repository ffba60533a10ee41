/*
 * The inner step of the relay: from one side to the other, plain or TLS, without an allocation. _relay.c decides
 * who is read, and keeps bytes that were not taken.
 *
 * A dialogue gets by with one small chunk. Where that was not all there is, it is bulk: then chunks are as large as the
 * sink has room for, so that nothing of them has to be kept, and are spliced where both sides are plain.
 */

#define _GNU_SOURCE

#include "openssl.h"
#include "sending.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#ifdef __linux__
#include <linux/sock_diag.h>
#endif
#include <stdlib.h>
#include <unistd.h>

/* One call moves little more than this many bytes and chunks: a bulk download never starves other sessions. */
#define BOUND 262144
#define ROUNDS 64

/* Bytes of the first chunk, and of the largest that are copied and spliced. */
#define FIRST 16384
#define COPIED 65536
#define SPLICED 262144

struct direction {
    int source_fd;
    SSL *source;
    int sink_fd;
    SSL *sink;
};

/* Bytes received, 0 at the end of input, or -errno. */
static ssize_t socket_receive(int fd, void *page, size_t limit)
{
    ssize_t result;

    do {
        result = recv(fd, page, limit, MSG_DONTWAIT);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -(ssize_t) errno : result;
}

/* Bytes sent, or -errno. */
static ssize_t socket_send(int fd, const void *data, size_t length)
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
    return socket_outcome(socket_receive(fd, page, limit), -READ);
}

static ssize_t give(int fd, SSL *connection, const void *data, size_t length)
{
    if (connection != NULL) {
        return connection_write(connection, data, clamp(length));
    }
    return socket_outcome(socket_send(fd, data, length), -WRITE);
}

/* Sorts a result that is no number of bytes: `blocked` or `failed`, with the details in the pump. */
static int stopped(struct pump *pump, ssize_t result, int blocked, int failed)
{
    if (result == -READ || result == -WRITE) {
        pump->want = (int) -result;
        return blocked;
    }
    pump->error = result == IO_SYSTEM ? errno : 0;
    return failed;
}

/* After input that was no bytes. */
static int no_input(struct pump *pump, ssize_t result)
{
    return result == 0 ? RELAY_END : stopped(pump, result, RELAY_SOURCE_BLOCKED, RELAY_SOURCE_FAILED);
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

/* Whether a read that came short took all there was; what is left in OpenSSL, a part of a record too, no selector sees. */
static int is_empty(const SSL *source)
{
    return source == NULL || (link_drained(source) && !SSL_has_pending(source));
}

static int move_copied(struct pump *pump, const struct direction *way, size_t size)
{
    ssize_t result = take(way->source_fd, way->source, pump->page, size);
    int status;

    if (result <= 0) {
        return no_input(pump, result);
    }
    status = drain(pump, pump->page, (size_t) result, way->sink_fd, way->sink);
    if (status == RELAY_MORE && (size_t) result < size && is_empty(way->source)) {
        pump->want = READ; /* spare the call that would say so */
        return RELAY_SOURCE_BLOCKED;
    }
    return status;
}

/* Bytes that the socket certainly takes, 0 where that is not known. */
static size_t room(int fd)
{
#ifdef SO_MEMINFO
    unsigned int facts[SK_MEMINFO_VARS], used;
    socklen_t length = sizeof facts;

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, facts, &length) != 0) {
        return 0;
    }
    used = facts[SK_MEMINFO_WMEM_QUEUED] > facts[SK_MEMINFO_WMEM_ALLOC] ? facts[SK_MEMINFO_WMEM_QUEUED]
                                                                        : facts[SK_MEMINFO_WMEM_ALLOC];
    return used < facts[SK_MEMINFO_SNDBUF] ? (facts[SK_MEMINFO_SNDBUF] - used) / 2 : 0; /* half is for bookkeeping */
#else
    (void) fd;
    return 0;
#endif
}

/* As much as the sink has room for, at most `largest`; `limit` may be kept, so that much is always fine. */
static size_t bulk_size(const struct direction *way, size_t limit, size_t largest)
{
    size_t size = room(way->sink_fd);

    if (size > largest) {
        size = largest;
    }
    return size > limit ? size : limit;
}

#ifdef SPLICE_F_MOVE

static ssize_t splice_bytes(int from, int to, size_t length)
{
    ssize_t result;

    do {
        result = splice(from, NULL, to, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -(ssize_t) errno : result;
}

/* Takes what the sink left in the pipe into the page. */
static int empty_pipe(struct pump *pump, size_t length)
{
    pump->offset = pump->length = 0;
    while (length > pump->length) {
        ssize_t result = read(pump->pipe[0], pump->page + pump->length, length - pump->length);

        if (result > 0) {
            pump->length += (size_t) result;
        } else if (result == 0 || errno != EINTR) {
            return 0;
        }
    }
    return 1;
}

static int move_spliced(struct pump *pump, const struct direction *way, size_t size)
{
    ssize_t result = socket_outcome(splice_bytes(way->source_fd, pump->pipe[1], size), -READ);
    size_t left;

    if (result <= 0) {
        return no_input(pump, result);
    }
    for (left = (size_t) result; left > 0; left -= (size_t) result) {
        result = splice_bytes(pump->pipe[0], way->sink_fd, left);
        if (result < 0) {
            result = socket_outcome(empty_pipe(pump, left) ? result : -EIO, -WRITE);
            return stopped(pump, result, RELAY_SINK_BLOCKED, RELAY_SINK_FAILED);
        }
        pump->moved += (size_t) result;
    }
    return RELAY_MORE;
}

static void open_pipe(struct pump *pump)
{
    if (pipe2(pump->pipe, O_NONBLOCK | O_CLOEXEC) != 0) {
        pump->pipe[0] = pump->pipe[1] = -1; /* copying does as well */
    } else {
        fcntl(pump->pipe[1], F_SETPIPE_SZ, SPLICED); /* else it holds less, which does as well */
    }
}

#else

static int move_spliced(struct pump *pump, const struct direction *way, size_t size)
{
    return move_copied(pump, way, size);
}

static void open_pipe(struct pump *pump)
{
    pump->pipe[0] = pump->pipe[1] = -1;
}

#endif

/* `loop` and `limit` are for sides; pump_move is given no larger limit. NULL: no memory. */
struct pump *pump_new(void *loop, size_t limit)
{
    struct pump *pump = calloc(1, sizeof *pump);

    if (pump == NULL) {
        return NULL;
    }
    pump->page = malloc(limit > SPLICED ? limit : SPLICED); /* of which only what is used becomes memory */
    if (pump->page == NULL) {
        free(pump);
        return NULL;
    }
    pump->loop = loop;
    pump->limit = limit;
    pump->move = pump_move;
    pump->flush = pump_flush;
    pump->has_pending = SSL_has_pending;
    pump->close_notify = connection_close_notify;
    open_pipe(pump);
    return pump;
}

void pump_free(struct pump *pump)
{
    if (pump->pipe[0] >= 0) {
        close(pump->pipe[0]);
        close(pump->pipe[1]);
    }
    free(pump->page);
    free(pump);
}

int pump_flush(struct pump *pump, const void *data, size_t length, int sink_fd, SSL *sink)
{
    pump->moved = 0;
    return drain(pump, data, length, sink_fd, sink);
}

int pump_move(struct pump *pump, int source_fd, SSL *source, int sink_fd, SSL *sink, size_t limit)
{
    const struct direction way = {source_fd, source, sink_fd, sink};
    int splicing = source == NULL && sink == NULL && pump->pipe[0] >= 0;
    int round, status;

    pump->moved = pump->length = 0;
    status = move_copied(pump, &way, limit > FIRST ? FIRST : limit);
    for (round = 1; status == RELAY_MORE && round < ROUNDS && pump->moved < BOUND; round++) {
        if (splicing) {
            status = move_spliced(pump, &way, bulk_size(&way, limit, SPLICED));
        } else {
            status = move_copied(pump, &way, bulk_size(&way, limit, COPIED));
        }
    }
    return status;
}
