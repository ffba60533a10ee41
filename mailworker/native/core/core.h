/*
 * Declarations of the event core: its objects as structs, and the functions of each file. The loop's own objects are
 * called by C functions, and any others in their place, as in tests or with other selectors, by Python methods.
 *
 * Functions that give an int give 0 with an exception, unless a comment says something else.
 */

#ifndef MAILWORKER_CORE_H
#define MAILWORKER_CORE_H

#include "python.h"
#include "transport.h"

#include <netinet/in.h>

/* tls.c */

extern const struct transport *tls_transport; /* NULL before use_tls() */

static inline const struct transport *transport_of(const void *connection)
{
    return connection == NULL ? &plain_transport : tls_transport;
}

/* The SSL of a TLS connection, or the SSL_CTX of a context; NULL for None, or with an exception. */
void *connection_of(PyObject *tls);

/*
 * A TLS connection that C has begun is bare: it has an SSL, and in place of its Python object, `tls`, the context. That
 * makes the object when Python code asks for it, and it is bare no longer; gives a new reference.
 */
PyObject *dressed(PyObject **tls, void *connection, char *bare);
int tls_free(PyObject *tls, void *connection, int bare);
extern PyMethodDef tls_functions[];

/* timers.c */

struct bucket;

/* An object with a deadline, and its bucket. */
struct timed {
    PyObject_HEAD
    double deadline;       /* seconds of the monotonic clock; infinity for none */
    struct bucket *bucket; /* NULL: it is in none */
    struct timed *next;    /* in that bucket */
    struct timed **link;   /* the pointer to this one there */
};

struct timers {
    PyObject_HEAD
    double first; /* when the first bucket is due, infinity for never */
    struct bucket **buckets; /* the last is due first */
    Py_ssize_t count;
    Py_ssize_t size;
};

extern PyTypeObject timed_type, timers_type;

/* Sets or moves the deadline, a finite time. */
int timers_set(struct timers *timers, struct timed *timed, double deadline, double now);
void timers_cancel(struct timed *timed);
double timers_delay(struct timers *timers, double now); /* seconds, infinity where nothing is set */

/* loop.c */

/* The fields of a loop that streams, tasks and pollers read; event/loop.py derives the loop from it. */
struct loop {
    PyObject_HEAD
    double now;    /* when the present round began */
    char urgent;   /* whether a round is due without waiting */
    PyObject *clock;
    PyObject *poller; /* see event/poller.py */
    PyObject *on_bug;
    struct timers *timers;
    PyObject *late; /* a list of handlers that have put something off */
};

extern PyTypeObject loop_type;

/* Watches for `events` a descriptor that was watched for `watched` so far; 0 is not at all. */
int loop_watch(struct loop *loop, int fd, int watched, int events, PyObject *handler);
int loop_forget(struct loop *loop, int fd); /* stops watching a descriptor that is closed right after */
int loop_note_time(struct loop *loop);

/* Calls handler.ready(0) before the loop waits again. */
int loop_put_off(struct loop *loop, PyObject *handler);
int loop_serve_late(struct loop *loop);
int loop_call(PyObject *handler, int mask); /* handler.ready(mask) */
int prepare_loop(void);

/* Whether it is a loop; else with an exception. */
int is_loop(PyObject *object);

/* epoll.c (Linux) */

#ifdef __linux__
struct epoll;

extern PyTypeObject epoll_type;

int epoll_set(struct epoll *epoll, int fd, int watched, int events, PyObject *handler); /* as loop_watch */
int epoll_drop(struct epoll *epoll, int fd);
#endif

/* task.c */

struct task {
    struct timed timed;
    struct loop *loop;
    PyObject *coroutine;
    PyObject *waits_for; /* NULL while it runs */
};

extern PyTypeObject task_type;

struct task *task_for(struct loop *loop, PyObject *coroutine);
int task_resume(struct task *task, PyObject *error); /* `error` is raised where it waits, unless NULL */

/* sockets.c */

/* An address that a socket has yet to be connected to; length 0 for none. */
struct destination {
    socklen_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in inet;
        struct sockaddr_in6 inet6;
    } address;
};

int prepare_sockets(void);

/*
 * A descriptor; or -1, with the call that failed and its errno, or with an exception and no call. By TCP it is not yet
 * connected to the destination, as the first use does that; who connects to a path knows at once what has become of it.
 */
int dialled(PyObject *address, struct destination *destination, const char **call, int *number);
void no_delay(int fd); /* sets TCP_NODELAY where the socket has it */
extern PyMethodDef socket_functions[];

/* stream.c */

/* A descriptor that a task reads from and writes to as if it blocked. It is its own awaitable. */
struct stream {
    PyObject_HEAD
    double deadline;
    int descriptor;
    int watched; /* the events that the poller watches for; 0: it is not registered */
    struct loop *loop;
    PyObject *party;
    PyObject *tls;    /* None without TLS */
    void *connection; /* the SSL in it */
    char bare;        /* whether `tls` is the context */
    char more;        /* of a handshake: a write follows */
    int row;          /* of a client in the session table, or NO_ROW */
    PyObject *closed; /* NULL once it is closed or given away */
    PyObject *task;   /* the task that waits; NULL or None for none */
    unsigned long long received; /* bytes of data that were read */
    unsigned long long sent;
    PyObject *address; /* what `destination` was made of; NULL once it is connected, or connecting */
    struct destination destination;

    /* The state of the action under way. */
    PySendResult (*action)(struct stream *self, PyObject **result);
    PyObject *outcome; /* for the task that is being resumed */
    Py_ssize_t limit;  /* bytes of one read */
    int events;        /* of an action that only waits */
    int waited;        /* whether it has waited */
    char late;         /* whether it has put a write off, until that is done */
    PyObject *data;    /* to be written, and how much of it was written */
    Py_ssize_t offset;
    PyObject *steps;   /* of an exchange, and the index of the present one */
    Py_ssize_t step;
    PyObject *choices; /* lines that the peer may send now, borrowed from the steps; NULL for none */
    PyObject *heard;   /* the lines that fitted a choice; NULL for none */
};

extern PyTypeObject stream_type;

/* Makes a stream of `type`, a class derived from BaseStream without fields. `closed` may be a ConnectionCounter. */
PyObject *stream_new(PyTypeObject *type, struct loop *loop, int descriptor, PyObject *party, PyObject *closed,
                     int watched);
int stream_park(struct stream *stream, PyObject *task);
int stream_ready(PyObject *stream, int mask);
int stream_exchange(struct stream *stream, PyObject *limit, PyObject *steps); /* begins one, as the method does */
PySendResult stream_go_on(struct stream *stream, PyObject **result); /* continues the action, as a coroutine's send */
void stream_give_away(struct stream *stream); /* the caller has taken its descriptor and TLS */

/* Begins a handshake by the context with SSL_CTX `native`, as an action; `more`: a write follows. */
int stream_shake_hands(struct stream *stream, PyObject *context, void *native, int more);

/* connections.c */

extern PyTypeObject connections_type;

int connections_release(PyObject *connections); /* uncounts one */
struct loop *connections_loop(PyObject *connections);
int connections_free(PyObject *connections);       /* whether there may be another one */
long long connections_take(PyObject *connections); /* counts one and gives its number; -1 with an exception */
PyObject *connections_stream(PyObject *connections, int descriptor, PyObject *party); /* for one that was counted */

/* lobby.c */

struct guest {
    struct timed timed;
    struct lobby *lobby; /* NULL once it has left */
    struct stream *stream;
    PyObject *peer;
    long long number;
    double accepted;
    char shaking; /* whether the handshake is under way */
    char listed;  /* whether its row was begun, or was counted as missing */
};

extern PyTypeObject guest_type, lobby_type;

/* beginning.c */

extern PyTypeObject beginning_type;
extern PyMethodDef beginning_functions[];

int prepare_beginnings(void);

/* plan.c */

extern PyTypeObject engine_type;
extern PyMethodDef plan_functions[];

#define PLAN_FIELDS 5 /* see Plan: stream, limit, steps, then, lost */
PyObject *plan_of(PyObject *const *fields);

int prepare_plans(void);
PyObject *engine_for(PyObject *chain, PyObject *heard); /* carry_out(); `heard` may be NULL */
int is_peer_error(void); /* whether the exception that was raised is a PeerError */

/* copies.c */

PyObject *copied(PyObject *module, PyObject *pattern); /* the function in Python; `module` is not used */
extern PyMethodDef copy_functions[];

/* written.c */

extern PyTypeObject direct_type;

int prepare_writing(void);
int is_direct(PyObject *object); /* whether it is a Direct that is not held */
/* Writes a line; gives how many of its bytes were written, -1 with an exception. */
Py_ssize_t direct_write(PyObject *direct, const char *line, size_t length);

#endif
