/*
 * The inner step of the relay: from one side to the other, plain or TLS, without an allocation. side.c decides
 * which side is read, and keeps bytes that were not taken.
 *
 * A dialogue needs only one small chunk. Where more follows, it is bulk data: then chunks are as large as the sink has
 * room for, so that nothing of them has to be kept, and are spliced where both sides are plain.
 */

#define _GNU_SOURCE

#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#ifdef __linux__
#include <linux/sock_diag.h>
#endif
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* One call moves about this many bytes and chunks at most: a bulk download never starves other sessions. */
#define BOUND 262144
#define ROUNDS 64

/* Bytes of the first chunk, which is copied, where the next ones are copied and where they are spliced. */
#define FIRST 65536
#define FIRST_BEFORE_SPLICING 16384
/* Bytes of the largest of these: the kernel acknowledges to the source once for each. */
#define LARGEST 262144

/* The status of a result that is no number of bytes: `blocked` or `failed`, with the details in the pump. */
static int stopped(struct pump *pump, ssize_t result, int blocked, int failed)
{
    if (result == -READ || result == -WRITE) {
        pump->want = (int) -result;
        return blocked;
    }
    pump->error = result == IO_SYSTEM ? errno : 0;
    return failed;
}

/* The status of a read that gave no bytes. */
static int no_input(struct pump *pump, ssize_t result)
{
    return result == 0 ? RELAY_END : stopped(pump, result, RELAY_SOURCE_BLOCKED, RELAY_SOURCE_FAILED);
}

/* Writes until all is taken, which is RELAY_MORE; `more`: something follows. */
static int drain(struct pump *pump, const struct channel *sink, const unsigned char *data, size_t length, int more)
{
    pump->held = more;
    pump->offset = 0;
    pump->length = length;
    while (pump->length > 0) {
        ssize_t result = sink->transport->write(sink->fd, sink->connection, data + pump->offset, pump->length, more);

        if (result < 0) {
            return stopped(pump, result, RELAY_SINK_BLOCKED, RELAY_SINK_FAILED);
        }
        pump->offset += (size_t) result;
        pump->length -= (size_t) result;
        pump->moved += (size_t) result;
    }
    return RELAY_MORE;
}

/* `line` is NULL where the source is not watched. */
static int copy(struct pump *pump, const struct channel *source, const struct channel *sink, size_t size,
                struct line *line)
{
    ssize_t result = source->transport->read(source->fd, source->connection, pump->page, size);
    int status;

    if (result <= 0) {
        return no_input(pump, result);
    }
    if (line != NULL && line_refuses(line, (const char *) pump->page, (size_t) result)) {
        pump->length = (size_t) result;
        return RELAY_REFUSED;
    }
    status = drain(pump, sink, pump->page, (size_t) result, (size_t) result == size);
    if (status == RELAY_MORE && (size_t) result < size && source->transport->is_drained(source->connection)) {
        pump->want = READ; /* spare the call that would say so */
        return RELAY_SOURCE_BLOCKED;
    }
    return status;
}

/* At the end of a call: send what was held back, as the next bytes may come late. */
static int finish(struct pump *pump, const struct channel *sink, int status)
{
    if (pump->held) {
        pump->held = 0;
        sink->transport->push(sink->fd);
    }
    return status;
}

/* Bytes for which the socket surely has room, 0 where that is not known. */
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
    return 0;
#endif
}

/* As much as the sink has room for, but never below `limit`, which a side may keep. */
static size_t bulk_size(const struct channel *sink, size_t limit)
{
    size_t size = limit < LARGEST ? room(sink->fd) : 0;

    if (size > LARGEST) {
        size = LARGEST;
    }
    return size > limit ? size : limit;
}

static void close_pipe(struct pump *pump)
{
    if (pump->pipe[0] >= 0) {
        close(pump->pipe[0]);
        close(pump->pipe[1]);
        pump->pipe[0] = pump->pipe[1] = -1;
    }
}

#ifdef SPLICE_F_MOVE

/* As a transport's step. */
static ssize_t splice_bytes(int from, int to, size_t length, int event)
{
    ssize_t result;

    do {
        result = splice(from, NULL, to, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (result < 0 && errno == EINTR);
    return result >= 0 ? result : errno == EAGAIN ? -event : IO_SYSTEM;
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

/* Whether copying may work where splice failed so: a sandbox may refuse it, and it needs memory of its own. */
static int can_copy(void)
{
    return errno == ENOSYS || errno == EPERM || errno == EINVAL || errno == ENOMEM;
}

static int move_spliced(struct pump *pump, const struct channel *source, const struct channel *sink, size_t size)
{
    ssize_t result = splice_bytes(source->fd, pump->pipe[1], size, READ);
    size_t left;

    if (result == IO_SYSTEM && can_copy()) {
        return copy(pump, source, sink, size, NULL);
    }
    if (result <= 0) {
        return no_input(pump, result);
    }
    for (left = (size_t) result; left > 0; left -= (size_t) result) {
        result = splice_bytes(pump->pipe[0], sink->fd, left, WRITE);
        if (result < 0) {
            int error = errno;

            if (!empty_pipe(pump, left)) {
                close_pipe(pump); /* with bytes that the next relay would send: it copies from now on */
                result = IO_SYSTEM;
                error = EIO;
            }
            errno = error;
            return stopped(pump, result, RELAY_SINK_BLOCKED, RELAY_SINK_FAILED);
        }
        pump->moved += (size_t) result;
    }
    return RELAY_MORE;
}

static void open_pipe(struct pump *pump)
{
    if (pipe2(pump->pipe, O_NONBLOCK | O_CLOEXEC) != 0) {
        pump->pipe[0] = pump->pipe[1] = -1; /* copying works as well */
    } else {
        fcntl(pump->pipe[1], F_SETPIPE_SZ, LARGEST); /* else it holds less, which works as well */
    }
}

#else

static int move_spliced(struct pump *pump, const struct channel *source, const struct channel *sink, size_t size)
{
    return copy(pump, source, sink, size, NULL);
}

static void open_pipe(struct pump *pump)
{
}

#endif

int pump_open(struct pump *pump, size_t limit, int watching, int limiting)
{
    *pump =
        (struct pump){.limit = limit, .pipe = {-1, -1}, .watching = watching, .limiting = limiting, .most = SIZE_MAX};
    pump->page = malloc(limit > LARGEST ? limit : LARGEST); /* untouched pages of it take no memory */
    if (pump->page == NULL) {
        return 0;
    }
    if (!watching && !limiting) { /* splicing bypasses the line and the limit */
        open_pipe(pump);
    }
    return 1;
}

void pump_close(struct pump *pump)
{
    if (pump->page != NULL) {
        close_pipe(pump);
    }
    free(pump->page);
    pump->page = NULL;
}

int pump_flush(struct pump *pump, const struct channel *sink, const void *data, size_t length)
{
    pump->moved = 0;
    return drain(pump, sink, data, length, 0);
}

int pump_move(struct pump *pump, const struct channel *source, const struct channel *sink, struct line *line)
{
    int splicing = source->connection == NULL && sink->connection == NULL && pump->pipe[0] >= 0;
    size_t first = splicing ? FIRST_BEFORE_SPLICING : FIRST, size = pump->limit < first ? pump->limit : first;
    int round = 0, status;

    pump->moved = pump->length = 0;
    do {
        size_t left = pump->most - pump->moved;

        if (round > 0) {
            size = bulk_size(sink, pump->limit);
        }
        status = splicing && round > 0
                     ? move_spliced(pump, source, sink, size)
                     : copy(pump, source, sink, size < left ? size : left, pump->watching ? line : NULL);
    } while (status == RELAY_MORE && ++round < ROUNDS && pump->moved < BOUND && pump->moved < pump->most);
    return finish(pump, sink, status);
}
