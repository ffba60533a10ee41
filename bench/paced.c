/*
 * IMAP clients that come at a fixed pace, whatever happens to earlier ones.
 *
 *     paced PORT WORD RATE SECONDS ADDRESSES FIRST
 *
 * RATE clients come in a second, from ADDRESSES loopback addresses in turn, of which the first is 127.FIRST.0.1. Each
 * logs in with the password WORD; if that ends with "-", the number of the attempt follows, so no two are the same.
 *
 * Prints how many clients came, logged in, had a wrong password, were told to come later, and were closed without a
 * greeting, and the median and the 99th percentile of the time from connect() to the login, in milliseconds.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 20 /* seconds for open connections once no more come */

struct client {
    int fd;
    int greeted;
    double began;
    size_t used;
    char text[512];
};

static struct {
    int port, first;
    const char *word;
    size_t addresses;
} options;

static int epoll;
static size_t came, under_way, attempts, let_in, wrong, later, closed;
static double *times;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void bind_to(int fd, size_t number)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1;

    address.sin_addr.s_addr = htonl(127u << 24 | (unsigned int) options.first << 16 | (unsigned int) (number + 1));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *) &address, sizeof address) != 0) {
        fail("bind");
    }
}

static void come(void)
{
    struct client *client = calloc(1, sizeof *client);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t) options.port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = client}};
    int on = 1;

    if (client == NULL) {
        fail("calloc");
    }
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0) {
        fail("socket");
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bind_to(client->fd, came % options.addresses);
    client->began = now();
    if (connect(client->fd, (struct sockaddr *) &address, sizeof address) != 0 && errno != EINPROGRESS) {
        fail("connect");
    }
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) != 0) {
        fail("epoll_ctl");
    }
    came++;
    under_way++;
}

static void leave(struct client *client)
{
    close(client->fd);
    free(client);
    under_way--;
}

static void log_in(struct client *client)
{
    size_t length = strlen(options.word);
    char command[128];
    int many = options.word[length - 1] == '-';

    if (many) {
        snprintf(command, sizeof command, "a LOGIN demo %s%zu\r\n", options.word, attempts++);
    } else {
        snprintf(command, sizeof command, "a LOGIN demo %s\r\n", options.word);
    }
    client->greeted = 1;
    client->used = 0;
    (void) send(client->fd, command, strlen(command), MSG_NOSIGNAL); /* a ban may have closed it already */
}

static void hear(struct client *client)
{
    ssize_t got = recv(client->fd, client->text + client->used, sizeof client->text - client->used - 1, 0);

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        closed += !client->greeted;
        leave(client);
        return;
    }
    client->used += (size_t) got;
    client->text[client->used] = '\0';
    if (strstr(client->text, "\r\n") == NULL) {
        return;
    }
    if (!client->greeted) {
        log_in(client);
        return;
    }
    if (strncmp(client->text, "a OK", 4) == 0) {
        times[let_in++] = (now() - client->began) * 1e3;
    } else if (strncmp(client->text, "a NO [UNAVAILABLE]", 18) == 0) {
        later++;
    } else {
        wrong++;
    }
    leave(client);
}

static void serve(int timeout)
{
    struct epoll_event events[64];
    int index, count = epoll_wait(epoll, events, 64, timeout);

    for (index = 0; index < count; index++) {
        hear(events[index].data.ptr);
    }
}

static int compare(const void *left, const void *right)
{
    double difference = *(const double *) left - *(const double *) right;

    return difference < 0 ? -1 : difference > 0;
}

int main(int argc, char **argv)
{
    double first = now(), rate, seconds;
    size_t count;

    if (argc != 7) {
        return 2;
    }
    options.port = atoi(argv[1]);
    options.word = argv[2];
    rate = atof(argv[3]);
    seconds = atof(argv[4]);
    options.addresses = strtoul(argv[5], NULL, 10);
    options.first = atoi(argv[6]);
    count = (size_t) (rate * seconds);
    times = calloc(count + 1, sizeof *times);
    epoll = epoll_create1(0);
    if (times == NULL || epoll < 0 || options.addresses < 1 || *options.word == '\0') {
        fail("start");
    }
    while (came < count) {
        while (came < count && (double) came < (now() - first) * rate) {
            come();
        }
        serve(1);
    }
    while (under_way > 0 && now() - first < seconds + LIMIT) {
        serve(100);
    }
    qsort(times, let_in, sizeof *times, compare);
    printf("%zu %zu %zu %zu %zu %.3f %.3f\n", came, let_in, wrong, later, closed, times[let_in / 2],
           times[let_in * 99 / 100]);
    return 0;
}
