/*
 * The peers of a proxy under measurement, in one process: an auth service and backends for IMAP, POP3, SMTP and
 * ManageSieve. They accept every login, except with a password that begins with "word-". Prints their five ports on one
 * line, and ends when standard input does.
 *
 * The auth service's answers are all the same, but for those to requests for /varied: each has another Auth-User.
 *
 * A "b" on standard input makes the program busy: it polls instead of sleeping, so that it costs nobody anything to
 * wake it. An "i" makes it idle again, as it is at first.
 *
 * After its login an IMAP client may send "TAG NOOP", or "TAG BULK n" for n megabytes of filler, without end if n is 0.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { AUTH, IMAP, POP3, SMTP, SIEVE, KINDS };

struct peer {
    int fd;
    enum kind kind;
    int listening;
    int step;             /* of the login */
    int endless;          /* whether the bulk never ends */
    unsigned long long sink; /* bytes to be discarded before the next line */
    unsigned long long bulk; /* bytes still to be sent */
    size_t used;
    char tag[32];
    char text[1500]; /* received and not answered yet */
};

static int epoll, busy;
static int ports[KINDS];
static const char page[65536];
static char taken[65536];
static const char *const greetings[KINDS] = {
    NULL, "* OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=PLAIN] ready\r\n", "+OK ready\r\n", "220 ready\r\n",
    "\"IMPLEMENTATION\" \"peer\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\nOK \"ready\"\r\n"};
static const char *const names[KINDS] = {NULL, "imap", "pop3", "smtp", "sieve"};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct peer *peer, int operation, unsigned int events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = peer}};

    if (epoll_ctl(epoll, operation, peer->fd, &event) != 0) {
        fail("epoll_ctl");
    }
}

static struct peer *new_peer(int fd, enum kind kind)
{
    struct peer *peer = calloc(1, sizeof *peer);

    if (peer == NULL) {
        fail("calloc");
    }
    peer->fd = fd;
    peer->kind = kind;
    return peer;
}

static void drop(struct peer *peer)
{
    close(peer->fd);
    free(peer);
}

static int say(struct peer *peer, const char *text)
{
    return send(peer->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t) strlen(text);
}

static void listen_for(enum kind kind)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    struct peer *peer = new_peer(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), kind);

    peer->listening = 1;
    if (peer->fd < 0 || bind(peer->fd, (struct sockaddr *) &address, length) != 0 || listen(peer->fd, 4096) != 0 ||
        getsockname(peer->fd, (struct sockaddr *) &address, &length) != 0) {
        fail("listen");
    }
    ports[kind] = ntohs(address.sin_port);
    watch(peer, EPOLL_CTL_ADD, EPOLLIN);
}

static void accept_all(const struct peer *listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *peer = new_peer(fd, listener->kind);

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(peer, EPOLL_CTL_ADD, EPOLLIN);
        if (greetings[peer->kind] != NULL) {
            say(peer, greetings[peer->kind]);
        }
    }
    if (errno != EAGAIN && errno != ECONNABORTED) {
        fail("accept");
    }
}

/* Returns 0 if the peer is finished. */
static int answer_auth(struct peer *peer)
{
    static unsigned int answers;
    char reply[256], user[32] = "";
    int kind, keep = strstr(peer->text, " HTTP/1.1\r\n") != NULL;
    const char *protocol = strstr(peer->text, "\nAuth-Protocol: ");

    if (protocol == NULL) {
        return 0;
    }
    if (strstr(peer->text, "\nAuth-Pass: word-") != NULL) {
        snprintf(reply, sizeof reply, "HTTP/1.%d 200 OK\r\n%sAuth-Status: Wrong password\r\n\r\n", keep,
                 keep ? "Content-Length: 0\r\n" : "");
        return say(peer, reply) && keep;
    }
    for (kind = IMAP; kind < SIEVE && strncmp(protocol + 16, names[kind], 4) != 0; kind++) {
    }
    if (strncmp(peer->text, "GET /varied ", 12) == 0) {
        snprintf(user, sizeof user, "Auth-User: demo%u\r\n", answers++);
    }
    snprintf(reply, sizeof reply,
             "HTTP/1.%d 200 OK\r\n%sAuth-Status: OK\r\n%sAuth-Server: 127.0.0.1\r\nAuth-Port: %d\r\n\r\n", keep,
             keep ? "Content-Length: 0\r\n" : "", user, ports[kind]);
    return say(peer, reply) && keep;
}

static int answer_imap(struct peer *peer, const char *line, size_t length)
{
    char reply[64];
    int literal = length > 0 && line[length - 1] == '}';

    if (peer->step == 0) {
        snprintf(peer->tag, sizeof peer->tag, "%.*s", (int) strcspn(line, " "), line);
    }
    if (peer->step < 2 && literal) {
        peer->step++;
        return line[length - 2] == '+' || say(peer, "+ go on\r\n"); /* RFC 7888 */
    }
    if (peer->step == 2 || (peer->step == 0 && strstr(line, " LOGIN ") != NULL) || strstr(line, " NOOP") != NULL) {
        peer->step = 3;
        snprintf(reply, sizeof reply, "%s OK done\r\n", peer->tag);
        return say(peer, reply);
    }
    if (strstr(line, " SINK ") != NULL) {
        peer->sink = strtoull(strstr(line, " SINK ") + 6, NULL, 10);
        return 1;
    }
    line = strstr(line, " BULK ");
    if (line == NULL) {
        return 0;
    }
    peer->bulk = strtoull(line + 6, NULL, 10) << 20;
    peer->endless = peer->bulk == 0;
    watch(peer, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    return 1;
}

static int answer_pop3(struct peer *peer, const char *line)
{
    if (strcmp(line, "CAPA") == 0) {
        return say(peer, "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\nUSER\r\n"
                         "SASL PLAIN LOGIN\r\n.\r\n");
    }
    return say(peer, "+OK\r\n");
}

static int answer_smtp(struct peer *peer, const char *line)
{
    if (strncmp(line, "XCLIENT", 7) == 0) {
        return say(peer, "220 ready\r\n");
    }
    if (strncmp(line, "EHLO", 4) == 0) {
        return say(peer, "250-done\r\n250-AUTH PLAIN\r\n250 XCLIENT NAME ADDR LOGIN\r\n");
    }
    return say(peer, strncmp(line, "AUTH", 4) == 0 ? "235 done\r\n" : "250 done\r\n");
}

static int answer_line(struct peer *peer, const char *line, size_t length)
{
    if (peer->kind == IMAP) {
        return answer_imap(peer, line, length);
    }
    if (peer->kind == SIEVE) {
        return say(peer, "OK \"done\"\r\n");
    }
    return peer->kind == POP3 ? answer_pop3(peer, line) : answer_smtp(peer, line);
}

/* Discards bytes that are not commands, and answers after the last of them. */
static int swallow(struct peer *peer, size_t length)
{
    peer->sink -= length < peer->sink ? length : peer->sink;
    return peer->sink > 0 || say(peer, "a OK done\r\n");
}

static int answer_lines(struct peer *peer)
{
    char *line = peer->text, *end;

    while ((end = strstr(line, "\r\n")) != NULL) {
        *end = '\0';
        if (!answer_line(peer, line, (size_t) (end - line))) {
            return 0;
        }
        line = end + 2;
        if (peer->sink > 0) {
            size_t left = peer->used - (size_t) (line - peer->text);

            peer->used = 0;
            return left == 0 || swallow(peer, left);
        }
    }
    peer->used -= (size_t) (line - peer->text);
    memmove(peer->text, line, peer->used + 1);
    return 1;
}

static int receive(struct peer *peer)
{
    ssize_t got = peer->sink > 0 ? recv(peer->fd, taken, sizeof taken, 0)
                                 : recv(peer->fd, peer->text + peer->used, sizeof peer->text - peer->used - 1, 0);

    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    if (peer->sink > 0) {
        return swallow(peer, (size_t) got);
    }
    peer->used += (size_t) got;
    peer->text[peer->used] = '\0';
    if (peer->kind != AUTH) {
        return answer_lines(peer);
    }
    if (strstr(peer->text, "\r\n\r\n") == NULL) {
        return 1;
    }
    peer->used = 0;
    return answer_auth(peer);
}

static int send_bulk(struct peer *peer)
{
    size_t size = peer->endless || peer->bulk > sizeof page ? sizeof page : (size_t) peer->bulk;
    ssize_t sent = send(peer->fd, page, size, MSG_NOSIGNAL);

    if (sent < 0) {
        return errno == EAGAIN;
    }
    if (!peer->endless && (peer->bulk -= (unsigned long long) sent) == 0) {
        watch(peer, EPOLL_CTL_MOD, EPOLLIN);
    }
    return 1;
}

static void serve(struct peer *peer, unsigned int events)
{
    if (peer->listening) {
        accept_all(peer);
    } else if (((events & ~(unsigned int) EPOLLOUT) && !receive(peer)) || ((events & EPOLLOUT) && !send_bulk(peer))) {
        drop(peer);
    }
}

/* Returns 0 at the end of standard input. */
static int obey(void)
{
    char order;

    if (read(STDIN_FILENO, &order, 1) != 1) {
        return 0;
    }
    busy = order == 'b';
    return 1;
}

/* Returns the number of events, 0 if there are none yet. */
static int await_events(struct epoll_event *events, int limit)
{
    int count = epoll_wait(epoll, events, limit, busy ? 0 : -1);

    if (count < 0 && errno != EINTR) {
        fail("epoll_wait");
    }
    if (count == 0) {
        sched_yield(); /* clients may poll on the same processor */
    }
    return count < 0 ? 0 : count;
}

int main(void)
{
    struct epoll_event events[256], input = {.events = EPOLLIN, .data = {.ptr = NULL}};
    int kind, count;

    epoll = epoll_create1(0);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0) {
        fail("epoll");
    }
    for (kind = AUTH; kind < KINDS; kind++) {
        listen_for(kind);
    }
    printf("%d %d %d %d %d\n", ports[AUTH], ports[IMAP], ports[POP3], ports[SMTP], ports[SIEVE]);
    fflush(stdout);
    for (;;) {
        count = await_events(events, 256);
        while (count-- > 0) {
            if (events[count].data.ptr != NULL) {
                serve(events[count].data.ptr, events[count].events);
            } else if (!obey()) {
                return 0;
            }
        }
    }
}
