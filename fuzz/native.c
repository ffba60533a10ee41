/*
 * Arbitrary bytes for the C of mailworker/native. The first byte selects the test: raw bytes for a handshake and after
 * it, garbage in the memory of the session cache, a relay both of whose ends follow the bytes, or text that may be a
 * backend's reply or a client's line. The output of a relay or of the cache must be its input; everything else is left
 * to the sanitizers.
 *
 * A full handshake takes longer than everything else together, so it is made only where a shorter one does not do.
 *
 * With libFuzzer this is its target. Without it, -DSTANDALONE makes a program that takes files, and mutates each of
 * them as many times as its first argument tells.
 */

#include "openssl.h"
#include "pump.h"
#include "reply.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#define CHUNK 256
#define MOST 16384          /* bytes that are fed, drained and moved at once */
#define UNDER_WAY 65536     /* bytes that may be in transit */
#define LARGEST_LIMIT 65536 /* the largest limit that a pump gets */
#define LINE 8              /* bytes */
#define LINES_UNDER_WAY 1000 /* bytes; a socket takes few records, however short they are */
#define LARGEST 262144      /* bytes that it may hold: those of one splice */
#define ID_SIZE 32
#define PERIOD (256 * 251) /* bytes after which the relayed pattern repeats */
#define LIFETIME 604800    /* seconds that sessions live, longer than any run */
#define OURS 0
#define PEER 1

static SSL_CTX *server, *client;
static struct slot_set sets[3], known_sets[3];
static SSL_SESSION *known_session; /* the session in the known sets */
static unsigned char pattern[PERIOD + MOST];
static struct tls_session_table table = {.sets = sets, .count = 3};
static struct tls_policy policy = {.protocols = "\4imap", .protocols_length = 5};
static struct ticket_key ticket_keys[2];

static void demand(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* Functions that Python offers to C. */

void refresh_ticket_keys(void *ticket_keys_)
{
    (void) ticket_keys_;
}

/* Both ends of TLS. */

static void certify(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();

    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    demand(X509_sign(certificate, key, EVP_sha256()) > 0, "a certificate is signed");
    demand(SSL_CTX_use_certificate(context, certificate) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1,
           "a certificate is used");
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void open_pair(int pair[2])
{
    demand(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0, "there are sockets");
}

static void close_pair(int pair[2])
{
    close(pair[OURS]);
    close(pair[PEER]);
}

/* Runs both sides in turn, until both are done or one has failed. */
static int shake_hands(SSL *ours, SSL *theirs)
{
    int steps, ours_done = 0, theirs_done = 0;

    for (steps = 0; steps < 50 && !(ours_done && theirs_done); steps++) {
        if (!theirs_done) {
            ERR_clear_error();
            theirs_done = SSL_do_handshake(theirs) == 1;
        }
        if (!ours_done) {
            int result = connection_handshake(ours, steps % 2);

            if (result == 0 || result == IO_TLS || result == IO_SYSTEM) {
                return 0;
            }
            ours_done = result == 1;
        }
    }
    return ours_done && theirs_done;
}

static SSL *connect_to(int fd, int version)
{
    SSL *peer = SSL_new(client);

    SSL_set_fd(peer, fd);
    SSL_set_connect_state(peer);
    SSL_set_max_proto_version(peer, version);
    return peer;
}

/* The raw server_name extension, in memory whose bounds are watched. */
static void asked_name(const uint8_t *data, size_t size)
{
    unsigned char *extension = malloc(size + (size == 0));
    const unsigned char *name = NULL;
    int length;

    demand(extension != NULL, "out of memory");
    memcpy(extension, data, size);
    length = hello_name(extension, size, &name);
    if (length >= 0) {
        demand(name >= extension && (size_t) length <= size && memchr(name, 0, (size_t) length) == NULL, "no name");
    }
    free(extension);
}

/* Chooses by the client's server name: another context, the same one, or none. */
static SSL *choose(SSL *ours, uint8_t how)
{
    const unsigned char *offers;
    const char *name = connection_name(ours);
    SSL *next;

    demand(connection_offers(ours, &offers) <= 255 && (name == NULL || strlen(name) <= 255), "more than there may be");
    if (how % 3 == 0) {
        return ours;
    }
    if (how % 3 == 1) {
        connection_refuse(ours, SSL_AD_UNRECOGNIZED_NAME);
        return ours;
    }
    next = connection_follow(ours, server);
    demand(next != NULL, "there is a connection to follow");
    connection_free(ours);
    return next;
}

static void raw_bytes(const uint8_t *data, size_t size)
{
    unsigned char page[CHUNK];
    uint8_t how = size > 1 ? data[1] : 0;
    int pair[2], piece = 1 + (size > 0 ? data[0] : 0), done = 0;
    SSL *ours;

    asked_name(data, size);
    open_pair(pair);
    ours = connection_new(server, pair[OURS], piece % 2);
    demand(ours != NULL, "there is a connection");
    while (size > 0) {
        size_t length = size < (size_t) piece ? size : (size_t) piece;
        int result;

        if (write(pair[PEER], data, length) != (ssize_t) length) {
            break;
        }
        data += length;
        size -= length;
        result = done ? connection_read(ours, page, CHUNK) : connection_handshake(ours, piece % 2);
        if (result == IO_HELLO) {
            ours = choose(ours, how);
            result = connection_handshake(ours, piece % 2);
        }
        done = done || result == 1;
        if (result == 0 || result == IO_TLS || result == IO_SYSTEM) {
            break;
        }
    }
    connection_close_notify(ours);
    connection_shutdown(ours);
    connection_free(ours);
    close_pair(pair);
}

/* Writes to shared memory as another process may: each input byte at a place that two others give. */
static void scribble(const uint8_t *data, size_t size)
{
    unsigned char *memory = (unsigned char *) sets;

    for (; size >= 3; data += 3, size -= 3) {
        memory[(data[0] << 8 | data[1]) % sizeof(sets)] = data[2];
    }
}

/* A session must be found complete, or not at all. */
static void rubbish_in_the_table(const uint8_t *data, size_t size)
{
    unsigned char session[SESSION_SIZE_MAX], found[SESSION_SIZE_MAX];
    const unsigned char *id = (const unsigned char *) "0123456789abcdef0123456789ABCDEF";
    size_t length = size > 0 ? 40 + (size_t) data[0] * 31 : 40, i;
    int result;

    for (i = 0; i < length; i++) {
        session[i] = (unsigned char) (i * 31);
    }
    if (length >= 100) { /* otherwise a session that does not contain its id */
        memcpy(session + length / 2, id, ID_SIZE);
    }
    memset(sets, 0, sizeof(sets));
    table_store(&table, id, ID_SIZE, session, (int) length, table_now());
    result = table_load(&table, id, ID_SIZE, found, sizeof(found), table_now());
    demand(result == (int) length && memcmp(session, found, length) == 0, "what is stored is found");
    scribble(data, size);
    result = table_load(&table, id, ID_SIZE, found, sizeof(found), table_now());
    demand(result == -1 || (result == (int) length && memcmp(session, found, length) == 0), "a session is mistaken");
    table_store(&table, id, ID_SIZE, session, (int) length, table_now());
    table_remove(&table, id, ID_SIZE);
    demand(table_load(&table, id, ID_SIZE, found, sizeof(found), table_now()) == -1, "what is removed is gone");
}

/* Puts the input in the session's place in the table, or scribbles on the table. */
static void spoil(const SSL_SESSION *session, const uint8_t *data, size_t size)
{
    unsigned int length;
    const unsigned char *id = SSL_SESSION_get_id(session, &length);

    if (size % 2 == 0) {
        table_store(&table, id, (int) length, data, (int) size, table_now());
    } else {
        scribble(data, size);
    }
}

/* One handshake of TLS 1.2 without tickets, offering `session` and `protocols`; returns the client's new session. */
static SSL_SESSION *meet(SSL_SESSION *session, const uint8_t *protocols, size_t size)
{
    int pair[2];
    SSL *ours, *theirs;
    SSL_SESSION *found;

    open_pair(pair);
    ours = connection_new(server, pair[OURS], 0);
    SSL_set_options(ours, SSL_OP_NO_TICKET);
    theirs = connect_to(pair[PEER], TLS1_2_VERSION);
    if (session != NULL) {
        SSL_set_session(theirs, session);
    }
    if (size > 1) {
        SSL_set_alpn_protos(theirs, protocols, (unsigned int) (size > 64 ? 64 : size));
    }
    shake_hands(ours, theirs);
    found = SSL_get1_session(theirs);
    if (session != NULL && SSL_get_session(ours) != NULL) {
        context_drop_session(server, SSL_get_session(ours));
    }
    SSL_free(theirs);
    connection_free(ours);
    close_pair(pair);
    return found;
}

/* Stores a session in the table and spoils the table; then the client offers the session and anything else. */
static void rubbish_sessions(const uint8_t *data, size_t size)
{
    SSL_SESSION *session = SSL_SESSION_dup(known_session);

    memcpy(sets, known_sets, sizeof(sets));
    spoil(session, data, size);
    SSL_SESSION_free(meet(session, data, size));
    SSL_SESSION_free(session);
}

/*
 * A relay from one pair to another; each step of the script feeds, drains, moves or ends. The first byte tells which
 * sides use TLS, whether the pump is limited, and whether it watches lines.
 */

struct relay {
    int source[2], sink[2];
    SSL *ours[2], *theirs[2]; /* of the source and of the sink, NULL where they are plain */
    struct pump pump;
    struct line line; /* of the moved bytes, where the pump watches lines */
    size_t kept_length, fed, drained;
    int ended, refused;
};

static unsigned char kept[LARGEST], bytes[MOST];

/* By a full handshake of TLS 1.3, or by resuming a session of TLS 1.2. */
static SSL *secure(int pair[2], SSL **theirs, int whole)
{
    SSL *ours = connection_new(server, pair[OURS], 0);

    *theirs = connect_to(pair[PEER], whole ? 0 : TLS1_2_VERSION);
    if (!whole) {
        SSL_SESSION *session = SSL_SESSION_dup(known_session);

        memcpy(sets, known_sets, sizeof(sets));
        SSL_set_session(*theirs, session);
        SSL_SESSION_free(session);
    }
    demand(shake_hands(ours, *theirs), "hands are shaken");
    demand(SSL_session_reused(ours) == !whole, "sessions are resumed");
    return ours;
}

static void feed(struct relay *relay, size_t length)
{
    const unsigned char *next = pattern + relay->fed % PERIOD;
    ssize_t taken;

    if (relay->ended || relay->fed - relay->drained > UNDER_WAY) { /* TLS demands a retry with the same bytes */
        return;
    }
    taken = relay->theirs[0] != NULL ? SSL_write(relay->theirs[0], next, (int) length)
                                     : write(relay->source[PEER], next, length);
    if (taken > 0) {
        relay->fed += (size_t) taken;
    }
}

/* Feeds a record for each line, where the source uses TLS. */
static void feed_lines(struct relay *relay, int count)
{
    for (; count > 0 && relay->fed - relay->drained < LINES_UNDER_WAY; count--) {
        feed(relay, LINE);
    }
}

static int drain_some(struct relay *relay, size_t length)
{
    ssize_t taken;

    taken = relay->theirs[1] != NULL ? SSL_read(relay->theirs[1], bytes, (int) length)
                                     : read(relay->sink[PEER], bytes, length);
    if (taken <= 0) {
        return 0;
    }
    demand(memcmp(bytes, pattern + relay->drained % PERIOD, (size_t) taken) == 0, "a byte is wrong");
    relay->drained += (size_t) taken;
    return 1;
}

static struct channel channel(int fd, SSL *connection)
{
    return (struct channel){connection == NULL ? &plain_transport : &tls_transport, connection, fd};
}

/* Runs the pump, perhaps limited to `most` bytes. Where it watches lines, it may refuse the bytes. */
static int pump_some(struct relay *relay, const struct channel *source, const struct channel *sink, size_t most)
{
    struct pump *pump = &relay->pump;
    int status;

    pump->most = most;
    status = pump_move(pump, source, sink, &relay->line);
    if (pump->limiting) {
        demand(pump->moved + (status == RELAY_SINK_BLOCKED ? pump->length : 0) <= most, "no more is read than may be");
    }
    relay->refused = status == RELAY_REFUSED;
    demand(pump->watching || !relay->refused, "nobody watches, and it is refused");
    return status;
}

static int move(struct relay *relay, size_t limit, size_t most)
{
    struct pump *pump = &relay->pump;
    const struct channel source = channel(relay->source[OURS], relay->ours[0]);
    const struct channel sink = channel(relay->sink[OURS], relay->ours[1]);
    int status;

    if (relay->kept_length > 0) {
        status = pump_flush(pump, &sink, kept, relay->kept_length);
        demand(pump->moved <= relay->kept_length, "no more is moved than there is");
        memmove(kept, kept + pump->moved, relay->kept_length - pump->moved);
        relay->kept_length -= pump->moved;
        return status;
    }
    pump->limit = limit;
    status = pump_some(relay, &source, &sink, most);
    if (status == RELAY_SINK_BLOCKED) {
        demand(pump->offset + pump->length <= LARGEST, "what is kept lies in the page");
        memcpy(kept, pump->page + pump->offset, pump->length);
        relay->kept_length = pump->length;
    }
    return status;
}

static void end(struct relay *relay)
{
    if (relay->theirs[0] != NULL) {
        SSL_shutdown(relay->theirs[0]);
    }
    shutdown(relay->source[PEER], SHUT_WR);
    relay->ended = 1;
}

static void relayed(const uint8_t *data, size_t size)
{
    struct relay relay = {0};
    int kind = size > 0 ? data[0] : 0, whole = kind < 16, buffer = 1, status = RELAY_MORE, rounds;
    size_t i;

    demand(pump_open(&relay.pump, LARGEST_LIMIT, (kind & 8) != 0, (kind & 4) != 0), "there is memory");
    open_pair(relay.source);
    open_pair(relay.sink);
    if (kind & 1) {
        relay.ours[0] = secure(relay.source, &relay.theirs[0], whole);
    }
    if (kind & 2) {
        relay.ours[1] = secure(relay.sink, &relay.theirs[1], whole);
    }
    setsockopt(relay.sink[OURS], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    for (i = 1; i + 1 < size && !relay.refused; i += 2) {
        switch (data[i] % 5) {
        case 0:
            feed(&relay, 1 + data[i + 1] * 64u);
            break;
        case 1:
            feed_lines(&relay, data[i + 1]);
            break;
        case 2:
            drain_some(&relay, 1 + data[i + 1] * 64u);
            break;
        case 3:
            move(&relay, 1 + data[i + 1] * 64u, 1 + (data[i + 1] * 241u) % 65521u);
            break;
        default:
            if (data[i + 1] == 0) {
                end(&relay);
            }
        }
    }
    end(&relay);
    for (rounds = 0; rounds < 100000 && !relay.refused && (status != RELAY_END || relay.kept_length > 0); rounds++) {
        status = move(&relay, MOST, MOST);
        demand(status != RELAY_SOURCE_FAILED && status != RELAY_SINK_FAILED, "nothing fails");
        drain_some(&relay, MOST);
    }
    while (drain_some(&relay, MOST)) {
    }
    demand(relay.drained == relay.fed || relay.refused, "all bytes arrive");
    for (i = 0; i < 2; i++) {
        if (relay.ours[i] != NULL) {
            SSL_free(relay.theirs[i]);
            connection_free(relay.ours[i]);
        }
    }
    close_pair(relay.source);
    close_pair(relay.sink);
    pump_close(&relay.pump);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    size_t i;

    (void) argc;
    (void) argv;
    signal(SIGPIPE, SIG_IGN); /* as in all our processes: TLS may still write to a client that has closed */
    memset(&ticket_keys[0], 1, sizeof(ticket_keys[0]));
    memset(&ticket_keys[1], 2, sizeof(ticket_keys[1]));
    ticket_keys[0].size = 32;
    ticket_keys[1].size = 16;
    policy.ticket_keys = ticket_keys;
    policy.ticket_key_count = 2;
    table.lifetime = table_ticks(LIFETIME);
    policy.sessions = &table;
    server = context_new(&policy, 0);
    demand(server != NULL, "there is a context");
    SSL_CTX_set_session_id_context(server, (const unsigned char *) "fuzz", 4);
    SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_timeout(server, LIFETIME);
    context_use_sessions(server);
    context_use_ticket_keys(server);
    context_verify_peer(server, 1);
    certify(server);
    client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    known_session = meet(NULL, NULL, 0);
    memcpy(known_sets, sets, sizeof(sets));
    for (i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (unsigned char) (i * 7 + i / 251);
    }
    return 0;
}

/* The first two bytes are the lengths of two beginnings of lines, which follow; then the reply comes. */
static void reply(const uint8_t *data, size_t size)
{
    size_t last = size > 0 ? data[0] % 8 : 0, others = size > 1 ? data[1] % 8 : 0, length;
    char *text;

    if (size < 2 + last + others) {
        return;
    }
    length = size - 2 - last - others;
    text = malloc(length + (length == 0)); /* memory whose bounds are watched */
    demand(text != NULL, "out of memory");
    memcpy(text, data + 2 + last + others, length);
    if (reply_is_whole(text, length, (const char *) data + 2, last, others ? (const char *) data + 2 + last : NULL,
                       others)) {
        demand(length >= 2 && memcmp(text + length - 2, "\r\n", 2) == 0, "a reply without its end");
    }
    free(text);
}

/* The first byte is the length of a line's beginning, which follows it, and the argument; then the line comes. */
static void said(const uint8_t *data, size_t size)
{
    size_t start = size > 0 ? data[0] % 8 : 0, length;
    char *text;

    if (size < 1 + start) {
        return;
    }
    length = size - 1 - start;
    text = malloc(length + (length == 0)); /* memory whose bounds are watched */
    demand(text != NULL, "out of memory");
    memcpy(text, data + 1 + start, length);
    if (line_fits(text, length, (const char *) data + 1, start, (enum argument)(data[0] / 8 % 3))) {
        demand(length >= start + 2 && memchr(text + start, '\n', length - start) == text + length - 1, "one line");
    }
    free(text);
}

/* A client's text after its login must be judged the same, whole and cut where the first byte tells. */
static void watched(const uint8_t *data, size_t size)
{
    struct line whole = {0}, cut = {0};
    size_t place = size > 0 ? data[0] % size : 0;
    char *text;
    int refused;

    if (size < 1) {
        return;
    }
    text = malloc(size); /* memory whose bounds are watched */
    demand(text != NULL, "out of memory");
    memcpy(text, data, size);
    refused = line_refuses(&whole, text, size);
    demand(refused == (line_refuses(&cut, text, place) || line_refuses(&cut, text + place, size - place)),
           "a line is read the same in pieces");
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    if (data[0] == 0xFF) {
        reply(data + 1, size - 1);
        return 0;
    }
    if (data[0] == 0xFD) {
        said(data + 1, size - 1);
        return 0;
    }
    if (data[0] == 0xFE) {
        watched(data + 1, size - 1);
        return 0;
    }
    ERR_clear_error();
    switch (data[0] % 4) {
    case 0:
        raw_bytes(data + 1, size - 1);
        break;
    case 1:
        rubbish_sessions(data + 1, size - 1);
        break;
    case 3:
        rubbish_in_the_table(data + 1, size - 1);
        break;
    default:
        relayed(data + 1, size - 1);
    }
    return 0;
}

#ifdef STANDALONE

/* Mutates one to four bytes, or the length. */
static size_t change(uint8_t *data, size_t size)
{
    int i, changes = 1 + rand() % 4;

    for (i = 0; i < changes && size > 0; i++) {
        data[(size_t) rand() % size] = (uint8_t) rand();
    }
    return rand() % 4 == 0 ? (size_t) rand() % (size + 1) : size;
}

int main(int argc, char **argv)
{
    static uint8_t original[4096], changed[4096];
    int i, round;

    LLVMFuzzerInitialize(&argc, &argv);
    srand(1);
    for (i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        size_t size;

        demand(file != NULL, "a file can be read");
        size = fread(original, 1, sizeof(original), file);
        fclose(file);
        LLVMFuzzerTestOneInput(original, size);
        for (round = 0; round < atoi(argv[1]); round++) {
            memcpy(changed, original, size);
            LLVMFuzzerTestOneInput(changed, change(changed, size));
        }
    }
    SSL_SESSION_free(known_session);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    return 0;
}

#endif
