/*
 * What the files of the module _core share: its objects as structs, and what each file offers to the others. An object
 * of the loop's own is called as a function; whatever else stands in its place, as in tests and with other selectors, by
 * its methods.
 *
 * Functions that give an int give 0 where they leave an exception, unless they say something else.
 */

#ifndef MAILWORKER_CORE_H
#define MAILWORKER_CORE_H

#define PY_SSIZE_T_CLEAN

#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <structmember.h>

#include "transport.h"

/* module.c: names of attributes, each made once. */
#define NAMES(NAME)                                                                                                    \
    NAME(abort)                                                                                                        \
    NAME(address)                                                                                                      \
    NAME(adopt)                                                                                                        \
    NAME(again)                                                                                                        \
    NAME(allow)                                                                                                        \
    NAME(backend_bytes)                                                                                                \
    NAME(begin)                                                                                                        \
    NAME(begin_with)                                                                                                   \
    NAME(change)                                                                                                       \
    NAME(client_bytes)                                                                                                 \
    NAME(close)                                                                                                        \
    NAME(expire)                                                                                                       \
    NAME(fail)                                                                                                         \
    NAME(finish)                                                                                                       \
    NAME(forget)                                                                                                       \
    NAME(free)                                                                                                         \
    NAME(half_close)                                                                                                   \
    NAME(kind)                                                                                                         \
    NAME(number)                                                                                                       \
    NAME(logged_in)                                                                                                    \
    NAME(park)                                                                                                         \
    NAME(passes)                                                                                                       \
    NAME(path)                                                                                                         \
    NAME(ready)                                                                                                        \
    NAME(reason)                                                                                                       \
    NAME(received)                                                                                                     \
    NAME(resume)                                                                                                       \
    NAME(sent)                                                                                                         \
    NAME(time_out)                                                                                                     \
    NAME(throw)                                                                                                        \
    NAME(timed_out)                                                                                                    \
    NAME(unwatch)                                                                                                      \
    NAME(watch)                                                                                                        \
    NAME(_exhausted)                                                                                                   \
    NAME(_refused)

#define DECLARE(name) PyObject *name;
extern struct names {
    NAMES(DECLARE)
    PyObject *no_address; /* "unix:" */
} names;
#undef DECLARE

extern const struct transport *tls_transport; /* NULL before use_tls() */

static inline const struct transport *transport_of(const void *connection)
{
    return connection == NULL ? &plain_transport : tls_transport;
}

/* Drops what a method gave; 0 where it raised. */
static inline int done(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL;
}

/* What a method gives: None, or NULL with the exception that is there. */
static inline PyObject *none_if(int went_well)
{
    return went_well ? Py_NewRef(Py_None) : NULL;
}

#define FAST(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL

/* What the collector asks of an object that holds REFERENCES to others, and how that ends. */
#define VISIT(name) Py_VISIT(self->name);
#define CLEAR(name) Py_CLEAR(self->name);
#define COLLECTED(type, REFERENCES) COLLECTED_BEHIND(type, REFERENCES, (void) 0)

/* The same, with something to do while the references are there still. */
#define COLLECTED_BEHIND(type, REFERENCES, STEP)                                                                       \
    static int type##_traverse(PyObject *object, visitproc visit, void *arg)                                           \
    {                                                                                                                  \
        struct type *self = (struct type *) object;                                                                    \
        REFERENCES(VISIT)                                                                                              \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static int type##_clear(PyObject *object)                                                                          \
    {                                                                                                                  \
        struct type *self = (struct type *) object;                                                                    \
        STEP;                                                                                                          \
        REFERENCES(CLEAR)                                                                                              \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static void type##_dealloc(PyObject *object)                                                                       \
    {                                                                                                                  \
        PyObject_GC_UnTrack(object);                                                                                   \
        (void) type##_clear(object);                                                                                   \
        Py_TYPE(object)->tp_free(object);                                                                              \
    }

/* Checks the number of arguments. */
int counted(Py_ssize_t given, Py_ssize_t wanted);

int take_int(PyObject *argument, int *value);

/* The exception that has been raised, as one object that is the caller's: no longer raised, with its traceback. */
PyObject *take_exception(void);

/* The SSL that `tls` has, or the SSL_CTX of a context; NULL for None, or with an exception. */
void *connection_of(PyObject *tls);

/*
 * A connection by TLS that C has begun is bare: an SSL, and in the place of its object of Python the context, which makes
 * that object when somebody asks.
 */
PyObject *dressed(PyObject *context, void *connection);
int tls_free(PyObject *tls, void *connection, int bare);

/* timers.c */

struct bucket;

/* Something with a deadline, and where it is filed. */
struct timed {
    PyObject_HEAD
    double deadline;       /* seconds of the monotonic clock; infinity for none */
    struct bucket *bucket; /* NULL: it is filed nowhere */
    struct timed *next;    /* in that bucket */
    struct timed **link;   /* what points to this one there */
};

struct timers {
    PyObject_HEAD
    double first; /* when the first bucket is due, infinity for never */
    struct bucket **buckets; /* the last is due first */
    Py_ssize_t count;
    Py_ssize_t size;
};

extern PyTypeObject timed_type, timers_type;

/* Moves the deadline, a finite time, from wherever it was. */
int timers_set(struct timers *timers, struct timed *timed, double deadline, double now);
void timers_cancel(struct timed *timed);
double timers_delay(struct timers *timers, double now); /* seconds, infinity where nothing is set */

/* loop.c */

/* What all that runs on a loop reads of it; event/loop.py derives the loop from it. */
struct loop {
    PyObject_HEAD
    double now;    /* when the round began */
    char urgent;   /* whether a round is due without waiting */
    PyObject *clock;
    PyObject *poller; /* see event/poller.py */
    PyObject *on_bug;
    struct timers *timers;
};

extern PyTypeObject loop_type;

/* Watches for `events` what was watched for `watched` so far; 0 is not at all. */
int loop_watch(struct loop *loop, int fd, int watched, int events, PyObject *handler);
int loop_forget(struct loop *loop, int fd); /* no longer watches what is closed at once */
int loop_note_time(struct loop *loop);
int prepare_loop(void);

/* Whether it is a loop; else an exception says so. */
int is_loop(PyObject *object);

/* epoll.c (Linux) */

#ifdef __linux__
struct epoll;

extern PyTypeObject epoll_type;

int epoll_set(struct epoll *epoll, int fd, int watched, int events, PyObject *handler); /* as loop_watch */
int epoll_drop(struct epoll *epoll, int fd);
#endif

/* tally.c */

extern PyTypeObject tally_type, session_tally_type;

/* limits.c */

extern PyTypeObject limits_type;

struct limit_table *limits_table(PyObject *limits);

/* attempts.c */

extern PyTypeObject attempt_type, attempts_type;

/* Whether the client may come in, which Attempts.passes() tells; -1 with an exception. */
int attempts_pass(PyObject *attempts, PyObject *client, double now);

/* gate.c */

extern PyTypeObject holdings_type, gate_type;

/* The same of Gate.passes(), for the connection of that number. */
int gate_passes(PyObject *gate, PyObject *client, PyObject *number);

/* conns.c */
extern PyTypeObject conns_type;

/* One connection more of a key: its place in the journal, or one of these. */
#define CONNS_OVER (-1)
#define CONNS_FULL (-2)
Py_ssize_t conns_hold(PyObject *conns, const void *key, size_t length, uint64_t most);
void conns_let_go(PyObject *conns, size_t place); /* of what is held; else nothing happens */

/* rows.c */

struct rows;

extern PyTypeObject rows_type;

#define NO_ROW (-1)

/* Begins a row of `owner` as open() does; gives it, NO_ROW where all are taken or with an exception. */
Py_ssize_t rows_begin(struct rows *rows, PyObject *owner, long long number, double accepted, uint16_t server,
                      PyObject *client);

/* Whether somebody has that row. */
int rows_has(const struct rows *rows, Py_ssize_t number);

/* For a row that somebody has: the relay begins, and bytes from the client and to it. */
void rows_relay(struct rows *rows, Py_ssize_t number, double now);
void rows_note(struct rows *rows, Py_ssize_t number, uint64_t received, uint64_t sent, double now);

/* task.c */

struct task {
    struct timed timed;
    struct loop *loop;
    PyObject *coroutine;
    PyObject *waits_for; /* NULL while it runs */
};

extern PyTypeObject task_type;

int task_resume(struct task *task, PyObject *error); /* NULL, or an error to be raised where it waits */

/* stream.c */

/* A descriptor that a task reads from and writes to as if it blocked. It is its own awaitable. */
struct stream {
    PyObject_HEAD
    double deadline;
    int descriptor;
    int watched; /* what the poller watches for; 0: it is not registered */
    struct loop *loop;
    PyObject *party;
    PyObject *tls;    /* None without TLS */
    void *connection; /* the SSL in it */
    char bare;        /* whether `tls` is the context */
    char more;        /* of a handshake: something is written next */
    PyObject *closed; /* NULL once it is closed or given away */
    PyObject *task;   /* that waits; NULL or None where none does */
    unsigned long long received; /* bytes that were read, in TLS those of its data */
    unsigned long long sent;

    /* Of the action under way. */
    PySendResult (*action)(struct stream *self, PyObject **result);
    PyObject *outcome; /* for the task that is being resumed */
    Py_ssize_t limit;  /* bytes of one read */
    int events;        /* of an action that only waits */
    int waited;        /* whether it has waited */
    PyObject *data;    /* to be written, and how much of it the system has taken */
    Py_ssize_t offset;
    PyObject *steps;   /* of an exchange, and the one at hand */
    Py_ssize_t step;
    PyObject *choices; /* lines that the peer may say now, in the steps; NULL for none */
    PyObject *heard;   /* the lines that it has chosen; NULL for none */
};

extern PyTypeObject stream_type;

/* One of `type`, which is derived from Stream and has no fields of its own; `closed` as for the class itself, or Counted. */
PyObject *stream_new(PyTypeObject *type, struct loop *loop, int descriptor, PyObject *party, PyObject *closed,
                     int watched);
int stream_park(struct stream *stream, PyObject *task);
int stream_ready(PyObject *stream, int mask);
int stream_exchange(struct stream *stream, PyObject *limit, PyObject *steps); /* begins, as the method does */
PySendResult stream_go_on(struct stream *stream, PyObject **result); /* with what was begun, as a coroutine */
void stream_give_away(struct stream *stream); /* whoever calls has taken what it was made of */

/* Begins to shake hands in a context with that SSL_CTX, to be gone on with as an action; `more`: a write follows. */
int stream_shake_hands(struct stream *stream, PyObject *context, void *native, int more);

/* connections.c */

extern PyTypeObject connections_type;

int connections_release(PyObject *connections); /* one that was counted */
struct loop *connections_loop(PyObject *connections);
int connections_free(PyObject *connections);       /* whether there may be one more */
long long connections_take(PyObject *connections); /* its number; -1 with an exception */
PyObject *connections_stream(PyObject *connections, int descriptor, PyObject *party); /* of one that was counted */

/* lobby.c */

extern PyTypeObject guest_type, lobby_type;

/* plan.c */

extern PyTypeObject engine_type;
extern PyMethodDef plan_functions[];

int prepare_plans(void);
int is_peer_error(void); /* whether the exception that was raised is a PeerError */

/* sockets.c */

int prepare_sockets(void);

/* A descriptor; or -1 with what call the system refused and why, or with an exception and no call. */
int dialled(PyObject *address, const char **call, int *number);
extern PyMethodDef socket_functions[];

/* copies.c */

PyObject *copied(PyObject *module, PyObject *pattern); /* the function in Python; `module` is of no matter */
extern PyMethodDef copy_functions[];

/* words.c */
extern PyMethodDef word_functions[];

/* line.c */

extern PyTypeObject line_type;

/* The Line whose method `of` a function is; NULL where it is another one. */
PyObject *line_behind(PyObject *function);

/* Writes the line of a session: 1 where it is taken whole; 0 with it, and how many bytes were taken or an error. */
int line_write(PyObject *line, PyObject *session, PyObject *direct, PyObject **rest, Py_ssize_t *taken,
               PyObject **error);
extern PyMethodDef line_functions[];

/* record.c */

int prepare_records(void);
extern PyMethodDef record_functions[];

/* written.c */

extern PyTypeObject direct_type;

int prepare_writing(void);
int is_direct(PyObject *object); /* whether it is a Direct that is not held */
/* How many bytes of a line are written; -1 with an exception. */
Py_ssize_t direct_write(PyObject *direct, const char *line, size_t length);
extern PyMethodDef writing_functions[];

/* relay/side.c, relay/limited.c */

extern PyTypeObject side_type, listed_type, watched_type, limited_type, sieve_line_type, pump_type;

int side_ready(PyObject *side, int mask);
void side_moved(PyObject *side, unsigned long long *received, unsigned long long *sent);

/* relay/pair.c */

extern PyTypeObject pair_type, terms_type;

int pair_half_close(PyObject *pair);

#endif
