/*
 * Mail clients that put load on a proxy under measurement.
 *
 *     client MODE PORT PROTOCOL COUNT AT_ONCE VERSION RESUME AMOUNT CIPHERS QUICK BUSY
 *
 * MODE is login (log in and leave), greet (leave after the greeting), idle (log in and stay), bulk (log in and
 * download AMOUNT megabytes by IMAP, without end if 0), dialogue (log in and send NOOP AMOUNT times by IMAP) or lines
 * (log in and upload AMOUNT lines of 8 bytes by IMAP, each by a write of its own). VERSION is 0 for no TLS, 12 or 13.
 * With RESUME 1 all clients offer sessions that AT_ONCE earlier, uncounted clients have got. With QUICK 1 they
 * acknowledge at once, so that a server with Nagle's algorithm does not wait. With BUSY 1 the program polls instead of
 * sleeping, so that it costs the server nothing to wake it. CIPHERS is for TLS 1.2, "-" for OpenSSL's default.
 *
 * Prints, at the end or, for clients that stay, once all are logged in: how many logged in, how many of them
 * resumed a session, the median and the 99th percentile of the time from connect() to the login in microseconds,
 * and the seconds that all took. Clients that stay leave when standard input ends.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 300 /* seconds after which the whole program fails */

struct step {
    const char *expected; /* the beginning of the last line of an answer */
    const char *reply;    /* NULL: logged in */
};

struct protocol {
    const char *name;
    struct step steps[4];
};

static const struct protocol protocols[] = {
    {"imap", {{"* OK", "a LOGIN demo secret\r\n"}, {"a OK", NULL}}},
    {"pop3", {{"+OK", "USER demo\r\n"}, {"+OK", "PASS secret\r\n"}, {"+OK", NULL}}},
    {"smtp", {{"220 ", "EHLO client\r\n"}, {"250 ", "AUTH PLAIN AGRlbW8Ac2VjcmV0\r\n"}, {"235 ", NULL}}},
    {"sieve", {{"OK", "AUTHENTICATE \"PLAIN\" \"AGRlbW8Ac2VjcmV0\"\r\n"}, {"OK", NULL}}},
};

enum mode { LOGIN, GREET, IDLE, BULK, DIALOGUE, LINES, MODES };

static const char *const mode_names[MODES] = {"login", "greet", "idle", "bulk", "dialogue", "lines"};

enum phase { CONNECTING, SHAKING, TALKING, LOADING, ASKING, WRITING, IDLING };

struct client {
    int fd;
    SSL *tls;
    enum phase phase;
    const struct step *step;
    double began;
    unsigned long long missing; /* bytes of the download, answers, or lines */
    size_t used;
    char text[1024]; /* an incomplete line */
};

static struct {
    enum mode mode;
    int port, at_once, version, resume, quick, busy;
    size_t count;
    unsigned long long amount;
    const struct protocol *protocol;
} options;

static int epoll;
static SSL_CTX *context;
static SSL_SESSION *sessions[4096];
static size_t session_count;
static int offering;
static double *times;
static size_t started, logged_in, finished, resumed;
static double first;

static void fail(const char *what)
{
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static int keep_session(SSL *tls, SSL_SESSION *fresh)
{
    (void) tls;
    if (!options.resume || session_count == sizeof sessions / sizeof *sessions) {
        return 0;
    }
    sessions[session_count++] = fresh;
    return 1;
}

static void offer_session(SSL *tls)
{
    if (!offering || session_count == 0) {
        return;
    }
    SSL_set_session(tls, sessions[session_count - 1]);
    if (options.version == 13) { /* a session can be used once; the server sends another */
        SSL_SESSION_free(sessions[--session_count]);
    }
}

static void watch(struct client *client, int operation, unsigned int events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = client}};

    if (epoll_ctl(epoll, operation, client->fd, &event) != 0) {
        fail("epoll_ctl");
    }
}

static void connect_client(struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t) options.port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1;

    memset(client, 0, sizeof *client);
    client->step = options.protocol->steps;
    client->began = now();
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0) {
        fail("socket");
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(client->fd, (struct sockaddr *) &address, sizeof address) != 0 && errno != EINPROGRESS) {
        fail("connect");
    }
    watch(client, EPOLL_CTL_ADD, EPOLLOUT);
    started++;
}

static void acknowledge(const struct client *client)
{
    int on = 1;

    if (options.quick) {
        setsockopt(client->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    }
}

static void say(const struct client *client, const char *text)
{
    int length = (int) strlen(text);
    int sent = client->tls != NULL ? SSL_write(client->tls, text, length)
                                   : (int) send(client->fd, text, (size_t) length, MSG_NOSIGNAL);

    if (sent != length) {
        fail("send");
    }
    acknowledge(client);
}

/* Returns the bytes received, -1 if there are none now. */
static int receive(const struct client *client, void *data, int limit)
{
    int got;

    if (client->tls != NULL) {
        got = SSL_read(client->tls, data, limit);
        if (got <= 0 && SSL_get_error(client->tls, got) != SSL_ERROR_WANT_READ) {
            fail("SSL_read");
        }
        return got > 0 ? got : -1;
    }
    got = (int) recv(client->fd, data, (size_t) limit, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        fail("recv");
    }
    return got;
}

static void leave(struct client *client)
{
    if (client->tls != NULL) {
        SSL_shutdown(client->tls);
        SSL_free(client->tls);
    }
    close(client->fd);
}

static void finish(struct client *client)
{
    finished++;
    leave(client);
    if (started < options.count) {
        connect_client(client);
    } else {
        free(client);
    }
}

static void start_another(void)
{
    struct client *client = malloc(sizeof *client);

    if (client == NULL) {
        fail("malloc");
    }
    connect_client(client);
}

static int stays(void)
{
    return options.mode == IDLE || (options.mode == BULK && options.amount == 0);
}

/* Writes as many lines as the connection takes; after the last one the answer is still to be read. */
static void write_lines(struct client *client)
{
    static const char line[] = "abcdef\r\n";
    int length = (int) sizeof line - 1, sent;

    for (; client->missing > 0; client->missing--) {
        if (client->tls != NULL) {
            sent = SSL_write(client->tls, line, length);
            if (sent <= 0 && SSL_get_error(client->tls, sent) == SSL_ERROR_WANT_WRITE) {
                return;
            }
        } else {
            sent = (int) send(client->fd, line, (size_t) length, MSG_NOSIGNAL);
            if (sent < 0 && errno == EAGAIN) {
                return;
            }
        }
        if (sent != length) {
            fail("a line is not sent");
        }
    }
    watch(client, EPOLL_CTL_MOD, EPOLLIN);
    client->phase = ASKING;
    client->missing = 1;
}

static void log_in(struct client *client)
{
    char command[64];

    times[logged_in++] = now() - client->began;
    if (client->tls != NULL && SSL_session_reused(client->tls)) {
        resumed++;
    }
    if (options.mode == LOGIN || options.mode == GREET) {
        finish(client);
        return;
    }
    client->phase = IDLING;
    if (options.mode == BULK) {
        client->phase = LOADING;
        client->missing = options.amount << 20;
        snprintf(command, sizeof command, "a BULK %llu\r\n", options.amount);
        say(client, command);
    } else if (options.mode == DIALOGUE) {
        client->phase = ASKING;
        client->missing = options.amount;
        say(client, "a NOOP\r\n");
    } else if (options.mode == LINES) {
        client->phase = WRITING;
        client->missing = options.amount;
        snprintf(command, sizeof command, "a SINK %llu\r\n", options.amount * 8);
        say(client, command);
        watch(client, EPOLL_CTL_MOD, EPOLLOUT);
    }
    if (started < options.count) {
        start_another();
    }
}

/* Returns whether the client's dialogue goes on. */
static int take_line(struct client *client, const char *line)
{
    const char *expected = client->step->expected;

    if (strncmp(line, expected, strlen(expected)) != 0) {
        if (line[0] == '"' || strncmp(line, "* ", 2) == 0 || (strlen(line) > 3 && line[3] == '-')) {
            return 1; /* more lines of this answer follow */
        }
        fprintf(stderr, "client: expected \"%s\", got \"%s\"\n", expected, line);
        exit(1);
    }
    if (client->step->reply == NULL || options.mode == GREET) {
        log_in(client);
        return 0;
    }
    say(client, client->step->reply);
    client->step++;
    return 1;
}

static void talk(struct client *client)
{
    char *line, *end;
    int got = receive(client, client->text + client->used, (int) (sizeof client->text - client->used - 1));

    acknowledge(client);
    if (got < 0) {
        return;
    }
    client->used += (size_t) got;
    client->text[client->used] = '\0';
    for (line = client->text; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
        *end = '\0';
        if (!take_line(client, line)) {
            return;
        }
    }
    client->used -= (size_t) (line - client->text);
    memmove(client->text, line, client->used + 1);
}

static void shake_hands(struct client *client)
{
    int result = SSL_connect(client->tls);

    acknowledge(client);
    if (result == 1) {
        client->phase = TALKING; /* without read-ahead the rest is still in the socket, where epoll sees it */
    } else if (SSL_get_error(client->tls, result) != SSL_ERROR_WANT_READ) {
        fail("SSL_connect");
    }
}

static void begin(struct client *client)
{
    watch(client, EPOLL_CTL_MOD, EPOLLIN);
    acknowledge(client);
    client->phase = TALKING;
    if (context == NULL) {
        return;
    }
    client->phase = SHAKING;
    client->tls = SSL_new(context);
    if (client->tls == NULL || SSL_set_fd(client->tls, client->fd) != 1) {
        fail("SSL_new");
    }
    offer_session(client->tls);
    shake_hands(client);
}

static void load(struct client *client)
{
    static char page[65536];
    int round, got;

    for (round = 0; round < 16; round++) {
        got = receive(client, page, sizeof page);
        if (got < 0) {
            return;
        }
        if (options.amount != 0 && (client->missing -= (unsigned long long) got) == 0) {
            finish(client);
            return;
        }
    }
}

static void ask(struct client *client)
{
    int got = receive(client, client->text, (int) sizeof client->text);

    if (got < 0) {
        return;
    }
    if (client->text[got - 1] != '\n') { /* answers are single lines, and are not split */
        errno = 0;
        fail("an answer is no line");
    }
    if (--client->missing == 0) {
        finish(client);
    } else {
        say(client, "a NOOP\r\n");
    }
}

static void serve(struct client *client)
{
    switch (client->phase) {
    case CONNECTING:
        begin(client);
        break;
    case SHAKING:
        shake_hands(client);
        break;
    case TALKING:
        talk(client);
        break;
    case LOADING:
        load(client);
        break;
    case ASKING:
        ask(client);
        break;
    case WRITING:
        write_lines(client);
        break;
    case IDLING:
        errno = 0;
        fail("the server ended an idle connection");
    }
}

static int compare(const void *left, const void *right)
{
    double difference = *(const double *) left - *(const double *) right;

    return difference < 0 ? -1 : difference > 0;
}

static void report(void)
{
    qsort(times, logged_in, sizeof *times, compare);
    printf("%zu %zu %.1f %.1f %.6f\n", logged_in, resumed, times[logged_in / 2] * 1e6,
           times[logged_in * 99 / 100] * 1e6, now() - first);
    fflush(stdout);
}

static int run_round(int hold)
{
    struct epoll_event events[256];
    int index, count;

    while ((count = epoll_wait(epoll, events, 256, options.busy ? 0 : hold ? -1 : LIMIT * 1000)) == 0 && options.busy) {
        sched_yield(); /* peers may poll on the same processor */
    }
    if (count <= 0) {
        fail("epoll_wait");
    }
    for (index = 0; index < count; index++) {
        if (events[index].data.ptr == NULL) {
            return 0;
        }
        serve(events[index].data.ptr);
    }
    return 1;
}

static void run(size_t count)
{
    size_t index, goal = count;

    options.count = count;
    started = logged_in = finished = resumed = 0;
    first = now();
    for (index = 0; index < goal && index < (size_t) options.at_once; index++) {
        start_another();
    }
    while ((stays() ? logged_in : finished) < goal) {
        run_round(0);
    }
}

static void hold(void)
{
    struct epoll_event input = {.events = EPOLLIN, .data = {.ptr = NULL}};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0) {
        fail("epoll_ctl");
    }
    while (run_round(1)) {
    }
}

static void prepare_tls(const char *ciphers)
{
    int version = options.version == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;

    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, version) != 1 ||
        SSL_CTX_set_max_proto_version(context, version) != 1 ||
        (strcmp(ciphers, "-") != 0 && SSL_CTX_set_cipher_list(context, ciphers) != 1)) {
        fail("SSL_CTX_new");
    }
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

static int choose(const char *name)
{
    int mode;

    for (mode = 0; mode < MODES; mode++) {
        if (strcmp(name, mode_names[mode]) == 0) {
            return mode;
        }
    }
    exit(2);
}

static const struct protocol *find_protocol(const char *name)
{
    size_t index;

    for (index = 0; index < sizeof protocols / sizeof *protocols; index++) {
        if (strcmp(name, protocols[index].name) == 0) {
            return &protocols[index];
        }
    }
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc != 12) {
        return 2;
    }
    options.mode = (enum mode) choose(argv[1]);
    options.port = atoi(argv[2]);
    options.protocol = find_protocol(argv[3]);
    options.at_once = atoi(argv[5]);
    options.version = atoi(argv[6]);
    options.resume = atoi(argv[7]);
    options.amount = strtoull(argv[8], NULL, 10);
    options.quick = atoi(argv[10]);
    options.busy = atoi(argv[11]);
    options.count = strtoull(argv[4], NULL, 10);
    times = calloc(options.count + (size_t) options.at_once, sizeof *times);
    epoll = epoll_create1(0);
    if (times == NULL || epoll < 0 || options.count < 1) {
        fail("start");
    }
    alarm(LIMIT);
    if (options.version != 0) {
        prepare_tls(argv[9]);
    }
    if (options.resume) {
        run((size_t) options.at_once);
        offering = 1;
    }
    run(strtoull(argv[4], NULL, 10));
    report();
    if (stays()) {
        alarm(0);
        hold();
    }
    return 0;
}
