/*
 * The parts of the binding that must be C: the context with its callbacks, and the steps of a connection. Each step
 * clears OpenSSL's error queue, calls OpenSSL, and reads the outcome before any other code can change the queue.
 */

#define OPENSSL_SUPPRESS_DEPRECATED

#include "openssl.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#ifndef SSL_OP_IGNORE_UNEXPECTED_EOF
#define SSL_OP_IGNORE_UNEXPECTED_EOF 0 /* OpenSSL 1.1.1 reports a missing close_notify as a plain end of file */
#endif

/* RFC 7301: a client that offers protocols but none of ours gets the alert no_application_protocol. */
static int select_protocol(SSL *connection, const unsigned char **selected, unsigned char *selected_length,
                           const unsigned char *offered, unsigned int offered_length, void *arg)
{
    const struct tls_policy *policy = arg;
    unsigned char *match;

    if (policy->protocols_length == 0) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    if (SSL_select_next_proto(&match, selected_length, policy->protocols, policy->protocols_length, offered,
                              offered_length) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *selected = match;
    return SSL_TLSEXT_ERR_OK;
}

/* The handshake goes on whatever the result: the session refuses a bad chain, in its protocol and in the log. */
static int accept_any_chain(int verified, X509_STORE_CTX *chain)
{
    return 1;
}

SSL_CTX *context_new(struct tls_policy *policy, int client)
{
    SSL_CTX *context = SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());

    if (context == NULL) {
        return NULL;
    }
    if (!client) {
        SSL_CTX_set_app_data(context, policy);
        SSL_CTX_set_alpn_select_cb(context, select_protocol, policy);
        SSL_CTX_set_info_callback(context, bound_lifetime);
        SSL_CTX_set_client_hello_cb(context, take_hello, NULL);
    }
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(context, 1); /* a record, or several, by one system call */
    SSL_CTX_set_max_early_data(context, 0);
    /* 0 is the library's own range: ssl_protocols decides about versions, not the system's openssl.cnf */
    if (SSL_CTX_set_min_proto_version(context, 0) != 1 || SSL_CTX_set_max_proto_version(context, 0) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

void context_verify_peer(SSL_CTX *context, int depth)
{
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, accept_any_chain);
    SSL_CTX_set_verify_depth(context, depth);
}

SSL *connection_new(SSL_CTX *context, int fd, int chooses)
{
    SSL *connection;

    ERR_clear_error();
    connection = SSL_new(context);
    if (connection == NULL) {
        return NULL;
    }
    if (link_set(connection, fd, chooses) != 1) {
        SSL_free(connection);
        return NULL;
    }
    if (SSL_is_server(connection)) {
        SSL_set_accept_state(connection);
    } else {
        SSL_set_connect_state(connection);
    }
    return connection;
}

/* OpenSSL drops a session from all caches if its connection ends without close_notify, as many do: prevent that. */
void connection_free(SSL *connection)
{
    link_flush(link_of(connection));
    SSL_set_shutdown(connection, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(connection);
}

/*
 * As in nginx, an empty error queue means that the peer has closed, whatever OpenSSL calls it. From OpenSSL 3.2 on the
 * queue also has failures of system calls.
 */
static int outcome(const SSL *connection, int result)
{
    int system_error = errno;
    int reason = SSL_get_error(connection, result);

    if (reason == SSL_ERROR_WANT_READ) {
        return -READ;
    }
    if (reason == SSL_ERROR_WANT_WRITE) {
        return -WRITE;
    }
    if (reason == SSL_ERROR_WANT_CLIENT_HELLO_CB) {
        return IO_HELLO;
    }
    if (reason == SSL_ERROR_SYSCALL && system_error != 0) {
        errno = system_error;
        return IO_SYSTEM;
    }
    return reason != SSL_ERROR_ZERO_RETURN && ERR_peek_error() != 0 ? IO_TLS : 0;
}

static void empty_key(EVP_PKEY *key)
{
    ERR_set_mark();
    EVP_PKEY_set_type(key, EVP_PKEY_NONE); /* frees the contents, and fails, as there is no such type */
    ERR_pop_to_mark();
    EVP_PKEY_free(key);
}

/*
 * OpenSSL keeps the ephemeral keys of a TLS 1.3 handshake, our private one among them, as long as the connection lives.
 * They are of no use any more, take half a kilobyte, and would let an attacker decrypt the whole connection.
 */
static void forget_key_exchange(SSL *connection)
{
    EVP_PKEY *key;

    if (SSL_version(connection) != TLS1_3_VERSION) {
        return;
    }
    if (SSL_get_tmp_key(connection, &key) == 1) {
        empty_key(key);
    }
    if (SSL_get_peer_tmp_key(connection, &key) == 1) {
        empty_key(key);
    }
}

static int shake_hands(SSL *connection)
{
    struct link *link = link_of(connection);
    int result;

    link->holding = 1;
    result = SSL_do_handshake(connection);
    link->holding = 0;
    if (result != 1) {
        return outcome(connection, result);
    }
    forget_key_exchange(connection);
    hello_end(&link->hello);
    link_note_data(link, 1);
    return 1;
}

/*
 * 1 once the handshake is done, 0 where the peer has closed before. `more`: the caller writes next, and the end of the
 * handshake may be sent with that.
 */
int connection_handshake(SSL *connection, int more)
{
    int result, flushed, system_error;

    ERR_clear_error();
    errno = 0;
    flushed = link_flush(link_of(connection)); /* bytes that the last call could not send */
    if (flushed != 1) {
        return flushed;
    }
    if (!link_begin_step(connection)) {
        return IO_TLS;
    }
    result = shake_hands(connection);
    if (result == 1 && more) {
        return 1;
    }
    system_error = errno;
    flushed = link_flush(link_of(connection)); /* a fatal alert too */
    if (flushed != 1 && (result == 1 || result == -READ)) {
        return flushed;
    }
    errno = system_error;
    return result;
}

/* Takes all records that were read already, not only one: some clients write one record for each line. */
int connection_read(SSL *connection, void *page, int limit)
{
    struct link *link = link_of(connection);
    int result, length = 0, records = 0;

    ERR_clear_error();
    if (link_take_end(link, &result)) {
        return result;
    }
    if (!link_begin_step(connection)) {
        return IO_TLS;
    }
    do {
        errno = 0;
        result = SSL_read(connection, (char *) page + length, limit - length);
        if (result <= 0) {
            result = outcome(connection, result);
            break;
        }
        length += result;
        records++;
    } while (length < limit && connection_has_input(connection));
    if (length == 0) {
        return result;
    }
    link_note_data(link, records);
    if (result == 0 || result == IO_SYSTEM || result == IO_TLS) {
        link_keep_end(link, result);
    }
    return length;
}

int connection_has_input(SSL *connection)
{
    const struct link *link = link_of(connection);

    return link->arrivals != NULL || link->is_over || SSL_has_pending(connection);
}

int connection_write(SSL *connection, const void *data, int length)
{
    int result;

    ERR_clear_error();
    errno = 0;
    if (!link_begin_step(connection)) { /* within a KeyUpdate OpenSSL reads its rest first */
        return IO_TLS;
    }
    result = SSL_write(connection, data, length);
    if (result > 0 || (result = outcome(connection, result)) != 0) {
        return result;
    }
    errno = EPIPE; /* the connection is shut down */
    return IO_SYSTEM;
}

/* 1 once our close_notify is sent, 0 where the peer is gone. The peer's further data can still be read. */
int connection_close_notify(SSL *connection)
{
    int result;

    if (SSL_in_init(connection)) {
        return 1; /* OpenSSL cannot send close_notify within a handshake, nor after a fatal error */
    }
    ERR_clear_error();
    errno = 0;
    if (!link_begin_step(connection)) { /* once ours is sent, it reads the peer's */
        return IO_TLS;
    }
    result = SSL_shutdown(connection);
    return result >= 0 ? 1 : outcome(connection, result);
}

/* 1 once both sides have sent close_notify, 0 where the peer is gone; else what to wait for. */
int connection_shutdown(SSL *connection)
{
    int result = connection_close_notify(connection);

    if (result != 1 || SSL_in_init(connection)) {
        return result;
    }
    errno = 0;
    result = SSL_shutdown(connection); /* ours is sent; this reads the peer's */
    if (result == 1) {
        return 1;
    }
    return result == 0 ? -READ : outcome(connection, result);
}

/* The transport of TLS: see transport.h. */

static int clamped(size_t length)
{
    return length > INT_MAX ? INT_MAX : (int) length;
}

static ssize_t tls_read(int fd, SSL *connection, void *page, size_t limit)
{
    return connection_read(connection, page, clamped(limit));
}

static ssize_t tls_write(int fd, SSL *connection, const void *data, size_t length, int more)
{
    struct link *link = link_of(connection);
    int result;

    link->more = more || length > SSL3_RT_MAX_PLAIN_LENGTH; /* a partial write is of one record */
    result = connection_write(connection, data, clamped(length));
    link->more = 0;
    return result;
}

/* Clearing TCP_CORK, even where it was not set, sends what was held back, as the socket's own TCP_NODELAY allows. */
static void tls_push(int fd)
{
#ifdef TCP_CORK
    int off = 0;

    (void) setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
#endif
}

/* OpenSSL may also hold a part of a record. */
static int tls_is_drained(SSL *connection)
{
    return link_of(connection)->drained && !connection_has_input(connection);
}

static void tls_describe(const SSL *connection, struct agreement *agreement)
{
    agreement->protocol = SSL_get_version(connection);
    agreement->cipher = SSL_get_cipher_name(connection);
    agreement->server_name = connection_name(connection);
}

const struct transport tls_transport = {
    .reading = "SSL_read()",
    .writing = "SSL_write()",
    .read = tls_read,
    .write = tls_write,
    .has_input = connection_has_input,
    .is_drained = tls_is_drained,
    .say_goodbye = connection_close_notify,
    .push = tls_push,
    .begin = connection_new,
    .shake_hands = connection_handshake,
    .describe = tls_describe,
    .end = connection_free,
};

const void *transport_of_tls(void)
{
    return &tls_transport;
}
