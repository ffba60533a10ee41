/* The transport of a socket without TLS. */

#include "sending.h"
#include "transport.h"

#include <errno.h>

static ssize_t outcome(ssize_t result, int event)
{
    if (result >= 0) {
        return result;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? -event : IO_SYSTEM;
}

static ssize_t plain_read(int fd, struct ssl_st *connection, void *page, size_t limit)
{
    ssize_t result;

    do {
        result = recv(fd, page, limit, MSG_DONTWAIT);
    } while (result < 0 && errno == EINTR);
    return outcome(result, READ);
}

static ssize_t plain_write(int fd, struct ssl_st *connection, const void *data, size_t length, int more)
{
    ssize_t result;

    do {
        result = send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (result < 0 && errno == EINTR);
    return outcome(result, WRITE);
}

static int plain_has_input(struct ssl_st *connection)
{
    return 0;
}

static void plain_push(int fd)
{
}

static int plain_is_fine(struct ssl_st *connection)
{
    return 1;
}

const struct transport plain_transport = {
    .reading = "recv()",
    .writing = "send()",
    .read = plain_read,
    .write = plain_write,
    .has_input = plain_has_input,
    .is_drained = plain_is_fine,
    .say_goodbye = plain_is_fine,
    .push = plain_push,
};
