/*
 * The BIO between a connection and its socket.
 *
 * OpenSSL's own BIO writes the parts of a handshake one by one: in TLS 1.3 a server flight, each ticket, the greeting.
 * This one holds back what a step of the handshake writes. Then one system call sends all of it, and the end of the
 * handshake goes together with the greeting.
 *
 * OpenSSL reads on as long as records bring no data, such as KeyUpdate (RFC 8446 section 4.6.3) or a renegotiation of
 * TLS 1.2, and each of them costs work. So a step gets at most STEP bytes, whatever the socket has, and other
 * connections get their turn. A peer that sends too many bytes without data loses its connection.
 *
 * For each record OpenSSL moves all that it has read and not yet opened to the front of its buffer. Where a client
 * writes a record for each line that is 8 KB on average, for 30 bytes. So the link keeps what it has read at once, and
 * OpenSSL gets it in pieces.
 */

#include "openssl.h"
#include "sending.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#ifndef BIO_FLAGS_IN_EOF
#define BIO_FLAGS_IN_EOF 0x800 /* OpenSSL 1.1.1 does not use it */
#endif

#define ARRIVALS 16384 /* bytes that are read at once where records are many, as OpenSSL itself reads */
#define PIECE 1024 /* bytes of these that OpenSSL gets at once */
#define MANY 8 /* records in one step */
#define STEP 32768 /* bytes; the longest record takes two reads, so it is never interrupted */
#define BARREN_HANDSHAKE 262144 /* bytes; OpenSSL takes 131,396 of a ClientHello and 102,400 of certificates */
#define BARREN_RECORDS 65536 /* bytes without data after that: four times the longest record, or 2,400 KeyUpdates */

/* Bytes that OpenSSL has not got yet. */
struct arrivals {
    int start;
    int end;
    char bytes[ARRIVALS];
};

static int hold(struct link *link, const char *data, int length)
{
    unsigned char *held = OPENSSL_realloc(link->held, link->length + (size_t) length);

    if (held == NULL) {
        return -1;
    }
    memcpy(held + link->length, data, (size_t) length);
    link->held = held;
    link->length += (size_t) length;
    return length;
}

/* Drops held bytes that were sent. Returns how many of `sent` bytes are beyond them, -1 where some of them are left. */
static ssize_t release(struct link *link, ssize_t sent)
{
    ssize_t beyond = sent - (ssize_t) link->length;

    if (beyond < 0) {
        link->length -= (size_t) sent;
        memmove(link->held, link->held + sent, link->length);
        return -1;
    }
    OPENSSL_free(link->held);
    link->held = NULL;
    link->length = 0;
    return beyond;
}

/* Sends the held bytes, then `data`. Returns how many bytes of `data` were sent, -1 with errno. */
static ssize_t send_all(struct link *link, const void *data, size_t length)
{
    struct iovec parts[] = {{link->held, link->length}, {(void *) data, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    int flags = MSG_NOSIGNAL | (link->more ? MSG_MORE : 0);
    ssize_t sent;

    do {
        sent = link->length == 0 ? send(link->fd, data, length, flags) : sendmsg(link->fd, &message, flags);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 || link->length == 0) {
        return sent;
    }
    sent = release(link, sent);
    if (sent < 0 || (sent == 0 && length > 0)) {
        errno = EAGAIN;
        return -1;
    }
    return sent;
}

static int would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static int link_write(BIO *bio, const char *data, int length)
{
    struct link *link = BIO_get_data(bio);
    ssize_t sent;

    BIO_clear_retry_flags(bio);
    if (link->holding) {
        return hold(link, data, length);
    }
    sent = send_all(link, data, (size_t) length);
    if (sent < 0 && would_block()) {
        BIO_set_retry_write(bio);
    }
    return (int) sent;
}

/* Gives OpenSSL a piece of what has arrived. */
static int hand_over(struct link *link, char *page, int limit)
{
    struct arrivals *arrivals = link->arrivals;
    int length = arrivals->end - arrivals->start;

    length = length < PIECE ? length : PIECE;
    length = length < limit ? length : limit;
    memcpy(page, arrivals->bytes + arrivals->start, (size_t) length);
    arrivals->start += length;
    if (arrivals->start == arrivals->end) {
        OPENSSL_free(arrivals);
        link->arrivals = NULL;
    }
    return length;
}

static int receive(struct link *link, char *page, int limit)
{
    ssize_t received;

    do {
        received = recv(link->fd, page, (size_t) limit, 0);
    } while (received < 0 && errno == EINTR);
    link->drained = received < limit;
    if (received > 0) {
        link->left -= (int) received;
        link->barren += (int) received;
        if (hello_record(&link->hello, page, (int) received) == 0) {
            errno = ENOMEM;
            return -1;
        }
    }
    return (int) received;
}

/* The same by way of `arrivals`. */
static int receive_many(struct link *link, char *page, int limit)
{
    struct arrivals *arrivals = OPENSSL_malloc(sizeof(*arrivals));
    int received, system_error;

    if (arrivals == NULL) {
        return receive(link, page, limit);
    }
    received = receive(link, arrivals->bytes, ARRIVALS);
    if (received <= 0) {
        system_error = errno;
        OPENSSL_free(arrivals);
        errno = system_error;
        return received;
    }
    arrivals->start = 0;
    arrivals->end = received;
    link->arrivals = arrivals;
    return hand_over(link, page, limit);
}

static int link_read(BIO *bio, char *page, int limit)
{
    struct link *link = BIO_get_data(bio);
    int received;

    BIO_clear_retry_flags(bio);
    if (link->arrivals != NULL) {
        return hand_over(link, page, limit);
    }
    if (link->holding && link->length > 0) { /* the peer cannot answer bytes that were not sent */
        BIO_set_retry_read(bio);
        return -1;
    }
    received = hello_replay(&link->hello, page, limit);
    if (received > 0) {
        link->drained = 0;
        return received;
    }
    if (link->left <= 0) {
        link->drained = 0;
        BIO_set_retry_read(bio);
        return -1;
    }
    received = link->crowded ? receive_many(link, page, limit) : receive(link, page, limit);
    if (received == 0) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    } else if (received < 0 && would_block()) {
        BIO_set_retry_read(bio);
    }
    return received;
}

static long link_ctrl(BIO *bio, int command, long number, void *pointer)
{
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static int link_destroy(BIO *bio)
{
    struct link *link = BIO_get_data(bio);

    if (link != NULL) {
        OPENSSL_free(link->arrivals);
        OPENSSL_free(link->held);
        hello_free(&link->hello);
        OPENSSL_free(link->detail);
        OPENSSL_free(link);
    }
    return 1;
}

/* Made once in a process, and never freed. */
static const BIO_METHOD *link_method(void)
{
    static BIO_METHOD *method;

    if (method == NULL) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link");
        if (method == NULL || BIO_meth_set_write(method, link_write) != 1 ||
            BIO_meth_set_read(method, link_read) != 1 || BIO_meth_set_ctrl(method, link_ctrl) != 1 ||
            BIO_meth_set_destroy(method, link_destroy) != 1) {
            BIO_meth_free(method);
            method = NULL;
        }
    }
    return method;
}

int link_set(SSL *connection, int fd, int chooses)
{
    const BIO_METHOD *method = link_method();
    struct link *link;
    BIO *bio;

    if (method == NULL || (bio = BIO_new(method)) == NULL) {
        return 0;
    }
    link = OPENSSL_zalloc(sizeof(*link));
    if (link == NULL || !hello_begin(&link->hello, chooses)) {
        OPENSSL_free(link);
        BIO_free(bio);
        return 0;
    }
    link->fd = fd;
    link->barren_limit = BARREN_HANDSHAKE;
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(connection, bio, bio);
    return 1;
}

struct link *link_of(const SSL *connection)
{
    return BIO_get_data(SSL_get_rbio(connection));
}

/* SSL_in_init() is of no use here: it is true within a KeyUpdate as well. */
static int barren_reason(const SSL *connection, const struct link *link)
{
    if (link->barren_limit == BARREN_HANDSHAKE) {
        return SSL_R_EXCESSIVE_MESSAGE_SIZE;
    }
    return SSL_version(connection) == TLS1_3_VERSION ? SSL_R_TOO_MANY_KEY_UPDATES : SSL_R_NO_RENEGOTIATION;
}

int link_begin_step(const SSL *connection)
{
    struct link *link = link_of(connection);

    link->left = STEP;
    if (link->barren <= link->barren_limit) {
        return 1;
    }
    ERR_put_error(ERR_LIB_SSL, 0, barren_reason(connection, link), __FILE__, __LINE__);
    return 0;
}

void link_note_data(struct link *link, int records)
{
    link->barren = 0;
    link->barren_limit = BARREN_RECORDS;
    link->crowded = records >= MANY;
}

int link_flush(struct link *link)
{
    while (link->length > 0) {
        if (send_all(link, NULL, 0) < 0) {
            return would_block() ? -WRITE : IO_SYSTEM;
        }
    }
    return 1;
}

void link_keep_end(struct link *link, int end)
{
    const char *detail;
    int flags;

    link->is_over = 1;
    link->end = end;
    link->system_error = errno;
    link->error = ERR_peek_error_data(&detail, &flags);
    OPENSSL_free(link->detail);
    link->detail = end == IO_TLS && (flags & ERR_TXT_STRING) ? OPENSSL_strdup(detail) : NULL;
}

int link_take_end(struct link *link, int *end)
{
    if (!link->is_over) {
        return 0;
    }
    link->is_over = 0;
    *end = link->end;
    if (*end == IO_TLS) {
        ERR_put_error(ERR_GET_LIB(link->error), 0, ERR_GET_REASON(link->error), __FILE__, __LINE__);
        if (link->detail != NULL) {
            ERR_add_error_data(1, link->detail);
        }
    }
    errno = link->system_error;
    return 1;
}
