/*
 * Declarations that the files of the module _core share: its objects as structs, and the functions of each file. The
 * loop's own objects are called by C functions, and any others in their place, as in tests or with other selectors, by
 * Python methods.
 *
 * Functions that give an int give 0 with an exception, unless a comment says something else.
 */

#ifndef MAILWORKER_CORE_H
#define MAILWORKER_CORE_H

#define PY_SSIZE_T_CLEAN

#include <Python.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <structmember.h>

#include "transport.h"

/* module.c: names of attributes, made once. */
#define NAMES(NAME)                                                                                                    \
    NAME(abort)                                                                                                        \
    NAME(address)                                                                                                      \
    NAME(adopt)                                                                                                        \
    NAME(again)                                                                                                        \
    NAME(allow)                                                                                                        \
    NAME(begin)                                                                                                        \
    NAME(begin_heard)                                                                                                  \
    NAME(begin_lost)                                                                                                   \
    NAME(close)                                                                                                        \
    NAME(drop)                                                                                                         \
    NAME(enlist)                                                                                                       \
    NAME(expire)                                                                                                       \
    NAME(fail)                                                                                                         \
    NAME(finish)                                                                                                       \
    NAME(free)                                                                                                         \
    NAME(half_close)                                                                                                   \
    NAME(kind)                                                                                                         \
    NAME(number)                                                                                                       \
    NAME(of)                                                                                                           \
    NAME(park)                                                                                                         \
    NAME(passes)                                                                                                       \
    NAME(path)                                                                                                         \
    NAME(ready)                                                                                                        \
    NAME(resume)                                                                                                       \
    NAME(time_out)                                                                                                     \
    NAME(throw)                                                                                                        \
    NAME(timed_out)                                                                                                    \
    NAME(_exhausted)                                                                                                   \
    NAME(_member_map_)                                                                                                 \
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

/* Raises an exception; gives 0. */
static inline int raised(PyObject *kind, const char *why)
{
    PyErr_SetString(kind, why);
    return 0;
}

/* Whether an object is bytes; else with an exception. */
static inline int is_bytes(PyObject *object)
{
    return PyBytes_Check(object) || raised(PyExc_TypeError, "bytes are wanted");
}

/* Drops the result of a method; 0 where it raised. */
static inline int done(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL;
}

/* The result of a method: None, or NULL with the exception that was raised. */
static inline PyObject *none_if(int went_well)
{
    return went_well ? Py_NewRef(Py_None) : NULL;
}

/* Whether an address has a port: it is an InetAddress of model.py, a tuple of host and port. */
static inline int has_port(PyObject *address)
{
    return PyTuple_Check(address) && PyTuple_GET_SIZE(address) == 2;
}

#define FAST(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL

/* The slots tp_traverse, tp_clear and tp_dealloc of an object that holds REFERENCES to others. */
#define VISIT(name) Py_VISIT(self->name);
#define CLEAR(name) Py_CLEAR(self->name);
#define COLLECTED(type, REFERENCES) COLLECTED_AFTER(type, REFERENCES, (void) 0)

/* The same, with a STEP that runs before the references are cleared. */
#define COLLECTED_AFTER(type, REFERENCES, STEP)                                                                        \
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

/* The slot tp_dealloc of an object that takes no part in garbage collection. */
#define DROP(name) Py_XDECREF(self->name);
#define HOLDING(type, REFERENCES)                                                                                      \
    static void type##_dealloc(PyObject *object)                                                                       \
    {                                                                                                                  \
        struct type *self = (struct type *) object;                                                                    \
        REFERENCES(DROP)                                                                                               \
        Py_TYPE(object)->tp_free(object);                                                                              \
    }

/* The first slots of a type whose objects are structs `type`; `flags` are those beside the default. */
#define TYPE(name, type, doc, flags)                                                                                   \
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "mailworker.native.core._core." name, .tp_doc = doc,                      \
                                .tp_basicsize = sizeof(struct type), .tp_flags = Py_TPFLAGS_DEFAULT | (flags)

/* The same with the slots that COLLECTED makes. */
#define COLLECTED_TYPE(name, type, doc, flags)                                                                         \
    TYPE(name, type, doc, Py_TPFLAGS_HAVE_GC | (flags)), .tp_traverse = type##_traverse, .tp_clear = type##_clear,     \
        .tp_dealloc = type##_dealloc

/* Checks the number of arguments. */
int counted(Py_ssize_t given, Py_ssize_t wanted);

int take_int(PyObject *argument, int *value);
int take_real(PyObject *argument, double *value);
int take_mask(PyObject *argument, uint64_t *value); /* the lowest 64 bits of an integer */

/* What an object calls its `kind`, a class derived from `base`: a new reference, NULL with an exception. */
PyTypeObject *take_kind(PyObject *object, PyTypeObject *base);

/* Takes the raised exception, as an object with its traceback; the reference is the caller's. */
PyObject *take_exception(void);

/* Raises an exception, whose reference it steals; NULL where the method that had to make it has raised one itself. */
void raise_error(PyObject *error);

/* The SSL of a TLS connection, or the SSL_CTX of a context; NULL for None, or with an exception. */
void *connection_of(PyObject *tls);

/*
 * A TLS connection that C has begun is bare: it has an SSL, and in place of its Python object, `tls`, the context. That
 * makes the object when Python code asks for it, and it is bare no longer; gives a new reference.
 */
PyObject *dressed(PyObject **tls, void *connection, char *bare);
int tls_free(PyObject *tls, void *connection, int bare);

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

/* tally.c */

extern PyTypeObject session_tally_type;

int prepare_tallies(void);
int tally_end(PyObject *tally, PyObject *session); /* SessionTally.end() */

/* limits.c */

extern PyTypeObject limits_type;

struct limit_table *limits_table(PyObject *limits);

/* attempts.c, attempt.c */

extern PyTypeObject attempt_type, attempts_type;

/* Attempts.passes(): whether the client is not banned; -1 with an exception. */
int attempts_pass(PyObject *attempts, PyObject *client, double now);

/* gate.c */

extern PyTypeObject holdings_type, gate_type;

/* Gate.passes(): whether the connection with this number is counted; -1 with an exception. */
int gate_passes(PyObject *gate, PyObject *client, PyObject *number);

/* conns.c */
extern PyTypeObject conns_type;

/* Counts one more connection of a key: gives its place in the journal, or one of these. */
#define CONNS_OVER (-1)
#define CONNS_FULL (-2)
Py_ssize_t conns_hold(PyObject *conns, const void *key, size_t length, uint64_t most);
void conns_let_go(PyObject *conns, size_t place); /* does nothing for a place without a connection */

/* rows.c */

struct rows;

extern PyTypeObject rows_type;

#define NO_ROW (-1)

/* Begins a row for `owner` as open() does; gives the row, NO_ROW where all are taken or with an exception. */
Py_ssize_t rows_begin(struct rows *rows, PyObject *owner, long long number, double accepted, uint16_t server,
                      PyObject *client);

/* Whether the row has an owner. */
int rows_has(const struct rows *rows, Py_ssize_t number);
int rows_owned(const struct rows *rows, Py_ssize_t number, const PyObject *owner);

/* Rows.close(). */
int rows_end(struct rows *rows, Py_ssize_t number);

/* See Rows.relay() and Rows.note(); for a row that has an owner. */
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

/* Makes a stream of `type`, a class derived from BaseStream without fields. A ConnectionCounter may be `closed`, too. */
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

/* client.c */
extern PyMethodDef client_functions[];

/* words.c, first_words.c, smtp_words.c */
extern PyMethodDef word_functions[];
extern PyMethodDef first_word_functions[];
extern PyMethodDef smtp_word_functions[];
int prepare_smtp_words(void);

/* answers.c */

PyObject *answer_recalled(PyObject *known, PyObject *data, PyObject *tell); /* recalled() of wire/auth_answers.py */
extern PyMethodDef answer_functions[];

/* question.c */

int prepare_questions(void);
extern PyMethodDef question_functions[];

/* line.c */

extern PyTypeObject line_type;

/* The Line whose method `of` a function is; NULL for any other function. */
PyObject *line_behind(PyObject *function);

/* Writes the line of a session: 1 if it is written whole; 0 with the line, and how many bytes were, or an error. */
int line_write(PyObject *line, PyObject *session, PyObject *direct, PyObject **rest, Py_ssize_t *taken,
               PyObject **error);

/* record.c */

int prepare_records(void);
extern PyMethodDef record_functions[];

/* session_id.c */

extern PyTypeObject identifier_type;

#define SESSION_ID_LENGTH 16

/* The halves of a session's id, 48 bits each; the second is the process and the number of its connection. */
struct session_id {
    uint64_t time, origin;
};

/* See packed_id() in mail/session_id.py. */
static inline struct session_id session_id_of(double began, uint64_t process, double accepted, uint64_t number)
{
    struct session_id id = {(uint64_t) (int64_t) (began + accepted * 1000) & 0xFFFFFFFFFFFF,
                            (process & 0xFFFF) << 32 | (number & 0xFFFFFFFF)};

    return id;
}

int is_identifier(PyObject *object);

/* Writes the id of a session, as an Identifier gives it. */
int identify(PyObject *identifier, double accepted, PyObject *number, char *text);

/* written.c */

extern PyTypeObject direct_type;

int prepare_writing(void);
int is_direct(PyObject *object); /* whether it is a Direct that is not held */
/* Writes a line; gives how many of its bytes were written, -1 with an exception. */
Py_ssize_t direct_write(PyObject *direct, const char *line, size_t length);

/* relay/side.c, relay/limited.c, relay/pump_object.c */

extern PyTypeObject side_type, listed_type, watched_type, limited_type, pump_type;

int side_ready(PyObject *side, int mask);
int side_row(PyObject *side); /* of a ListedSide */

/* Ends a relay by the exception that was raised, unless that ends the process. */
int abort_relay(PyObject *relay);

/* relay/pair.c */

extern PyTypeObject pair_type, terms_type;

int pair_half_close(PyObject *pair);
int pair_ended_by_client(PyObject *pair); /* whether the client's input ended first */

/* relay/session.c */

int prepare_session_relays(void);
extern PyMethodDef session_relay_functions[];

#endif
