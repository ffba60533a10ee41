/*
 * A descriptor that a task reads from and writes to as if it blocked, plain or over TLS. It is its own awaitable, since
 * a task waits for one thing at a time. Errors are made in Python, by methods of the class derived from BaseStream.
 */

#include "core.h"
#include "reply.h"
#include "shm.h"

#include <errno.h>
#include <math.h>
#include <sys/socket.h>
#include <unistd.h>

/* Most bytes of one read, in a buffer on the stack: a stream that waits holds no buffer. */
#define READ_SIZE 4096

static PyObject *stream_close(PyObject *object, PyObject *none);

static void open_stream(struct stream *self, struct loop *loop, int descriptor, PyObject *party, PyObject *closed,
                        int watched)
{
    self->descriptor = descriptor;
    self->watched = watched;
    self->deadline = INFINITY;
    self->row = NO_ROW;
    Py_XSETREF(self->loop, (struct loop *) Py_NewRef((PyObject *) loop));
    Py_XSETREF(self->party, Py_NewRef(party));
    Py_XSETREF(self->tls, Py_NewRef(Py_None));
    Py_XSETREF(self->closed, Py_NewRef(closed));
}

static int stream_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char *keys[] = {"loop", "descriptor", "party", "closed", "watched", NULL};
    PyObject *loop, *party, *closed;
    int descriptor, watched = 0;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OiOO|$i", keys, &loop, &descriptor, &party, &closed,
                                     &watched) ||
        !is_loop(loop)) {
        return -1;
    }
    open_stream((struct stream *) object, (struct loop *) loop, descriptor, party, closed, watched);
    return 0;
}

PyObject *stream_new(PyTypeObject *type, struct loop *loop, int descriptor, PyObject *party, PyObject *closed,
                     int watched)
{
    struct stream *self = (struct stream *) type->tp_alloc(type, 0);

    if (self != NULL) {
        open_stream(self, loop, descriptor, party, closed, watched);
    }
    return (PyObject *) self;
}

/* Frees a bare connection, as it has no other owner. */
static void forget_tls(struct stream *self)
{
    if (self->bare) {
        self->bare = 0;
        tls_transport->end(self->connection);
        self->connection = NULL;
    }
}

/*
 * Closes a counted connection that its owner has lost, as it does where memory fails between two steps. The poller holds
 * the streams that it watches, so this one is not watched.
 */
static void close_lost(struct stream *self)
{
    PyObject *kind, *error, *traceback;

    if (self->closed != NULL && PyObject_TypeCheck(self->closed, &connections_type)) {
        PyErr_Fetch(&kind, &error, &traceback);
        self->watched = 0;
        if (!done(stream_close((PyObject *) self, NULL))) {
            PyErr_WriteUnraisable(Py_None);
        }
        PyErr_Restore(kind, error, traceback);
    }
    forget_tls(self);
}

#define REFERENCES(REF)                                                                                                \
    REF(outcome) REF(steps) REF(heard) REF(data) REF(task) REF(closed) REF(tls) REF(party) REF(address) REF(loop)
COLLECTED_AFTER(stream, REFERENCES, close_lost(self))

/*
 * Actions: a method begins one and gives the stream itself, to be awaited. The stream then continues the action after
 * each wait.
 */

/* Replaces the poller's exception by the one that the class in Python makes of it. */
static void refuse_watch(struct stream *self)
{
    PyObject *error;

    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        error = take_exception();
        raise_error(PyObject_CallMethodOneArg((PyObject *) self, names._refused, error));
        Py_DECREF(error);
    }
}

/* Connects, if that was put off; 0 with an exception where the system refuses at once. */
static int reach(struct stream *self)
{
    PyObject *address = self->address;
    int fine;

    if (address == NULL) {
        return 1;
    }
    self->address = NULL;
    fine = connect(self->descriptor, &self->destination.address.any, self->destination.length) == 0 ||
           errno == EINPROGRESS;
    if (!fine) {
        raise_error(PyObject_CallMethod((PyObject *) self, "_unreached", "Oi", address, errno));
    }
    Py_DECREF(address);
    return fine;
}

/* Yields to the task until the loop would wait again: writes one after the other wake a peer once, and not each. */
static PySendResult put_off(struct stream *self, PyObject **result)
{
    if (!loop_put_off(self->loop, (PyObject *) self)) {
        return PYGEN_ERROR;
    }
    self->late = 1;
    *result = Py_NewRef((PyObject *) self);
    return PYGEN_NEXT;
}

/* Yields to the task until the descriptor is ready for `events`. */
static PySendResult wait_for(struct stream *self, int events, PyObject **result)
{
    if (self->watched != events) {
        if (!loop_watch(self->loop, self->descriptor, self->watched, events, (PyObject *) self)) {
            refuse_watch(self);
            return PYGEN_ERROR;
        }
        self->watched = events;
    }
    *result = Py_NewRef((PyObject *) self);
    return PYGEN_NEXT;
}

/* After a step with this `outcome`: waits, or raises the exception that Python makes for a failure. */
static PySendResult stopped(struct stream *self, const char *call, ssize_t outcome, PyObject **result)
{
    if (outcome == -READ || outcome == -WRITE) {
        return wait_for(self, (int) -outcome, result);
    }
    raise_error(PyObject_CallMethod((PyObject *) self, "_failed", "si", call, outcome == IO_SYSTEM ? errno : 0));
    return PYGEN_ERROR;
}

/* It waits before it reads, so that other streams get their turn. */
static PySendResult go_on_reading(struct stream *self, PyObject **result)
{
    const struct transport *transport = transport_of(self->connection);
    char page[READ_SIZE];
    ssize_t length;

    if (!self->waited) {
        self->waited = 1;
        if (!transport->has_input(self->connection)) {
            return wait_for(self, READ, result);
        }
    }
    length = transport->read(self->descriptor, self->connection, page, (size_t) self->limit);
    if (length < 0) {
        return stopped(self, transport->reading, length, result);
    }
    self->received += (unsigned long long) length;
    *result = PyBytes_FromStringAndSize(page, length);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PySendResult go_on_writing(struct stream *self, PyObject **result)
{
    const struct transport *transport = transport_of(self->connection);
    Py_ssize_t left;

    while ((left = PyBytes_GET_SIZE(self->data) - self->offset) > 0) {
        ssize_t sent = transport->write(self->descriptor, self->connection,
                                        PyBytes_AS_STRING(self->data) + self->offset, (size_t) left, 0);

        if (sent < 0) {
            return stopped(self, transport->writing, sent, result);
        }
        self->sent += (unsigned long long) sent;
        self->offset += sent;
    }
    Py_CLEAR(self->data);
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PySendResult go_on_shaking_hands(struct stream *self, PyObject **result)
{
    int outcome;

    if (!self->waited) { /* for the ClientHello */
        self->waited = 1;
        return wait_for(self, READ, result);
    }
    outcome = tls_transport->shake_hands(self->connection, self->more);
    if (outcome > 0) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    if (outcome == 0) {
        raise_error(PyObject_CallMethod((PyObject *) self, "_failed", "sO", "SSL_do_handshake()", Py_None));
        return PYGEN_ERROR;
    }
    return stopped(self, "SSL_do_handshake()", outcome, result);
}

static int is_expected(PyObject *reply, PyObject *step)
{
    PyObject *wanted = PyTuple_GET_ITEM(step, 1);
    PyObject *last = PyTuple_GET_ITEM(wanted, 0), *others = PyTuple_GET_ITEM(wanted, 1);

    if (PyAnySet_Check(last)) {
        return PySet_Contains(last, reply) == 1; /* bytes always have a hash */
    }
    return reply_is_whole(PyBytes_AS_STRING(reply), (size_t) PyBytes_GET_SIZE(reply), PyBytes_AS_STRING(last),
                          (size_t) PyBytes_GET_SIZE(last), others == Py_None ? NULL : PyBytes_AS_STRING(others),
                          others == Py_None ? 0 : (size_t) PyBytes_GET_SIZE(others));
}

/* Begins to write a command, unless it is None, and then to read. */
static void say(struct stream *self, PyObject *command)
{
    self->offset = 0;
    self->waited = 0;
    Py_XSETREF(self->data, command == Py_None ? NULL : Py_NewRef(command));
}

static void begin_step(struct stream *self, Py_ssize_t number)
{
    PyObject *step = PyTuple_GET_ITEM(self->steps, number);
    PyObject *others = PyTuple_GET_ITEM(PyTuple_GET_ITEM(step, 1), 1);

    self->step = number;
    self->choices = PyTuple_Check(others) ? others : NULL;
    say(self, PyTuple_GET_ITEM(step, 0));
}

/* The fields of a Choice, see event/choice.py. */
enum { START, ARGUMENT, ANSWER, CHOICES, CHOICE_FIELDS };

static PyObject *chosen(PyObject *choices, PyObject *words)
{
    Py_ssize_t i;

    for (i = 0; i < PyTuple_GET_SIZE(choices); i++) {
        PyObject *choice = PyTuple_GET_ITEM(choices, i), *start = PyTuple_GET_ITEM(choice, START);

        if (line_fits(PyBytes_AS_STRING(words), (size_t) PyBytes_GET_SIZE(words), PyBytes_AS_STRING(start),
                      (size_t) PyBytes_GET_SIZE(start),
                      (enum argument) PyLong_AsLong(PyTuple_GET_ITEM(choice, ARGUMENT)))) {
            return choice;
        }
    }
    return NULL;
}

/* Appends the peer's words to `heard`, steals their reference, and goes on with the answer to them. */
static int serve(struct stream *self, PyObject *choice, PyObject *words)
{
    if (self->heard == NULL) {
        self->heard = words;
    } else {
        PyBytes_ConcatAndDel(&self->heard, words);
    }
    self->choices = PyTuple_GET_ITEM(choice, CHOICES);
    say(self, PyTuple_GET_ITEM(choice, ANSWER));
    return self->heard != NULL;
}

/* A tuple of two objects, whose references it steals; NULL with an exception, also where the first is NULL. */
static PyObject *both(PyObject *first, PyObject *second)
{
    PyObject *made = first == NULL ? NULL : PyTuple_New(2);

    if (made == NULL) {
        Py_XDECREF(first);
        Py_DECREF(second);
        return NULL;
    }
    PyTuple_SET_ITEM(made, 0, first);
    PyTuple_SET_ITEM(made, 1, second);
    return made;
}

static PySendResult go_on_exchanging(struct stream *self, PyObject **result)
{
    PySendResult status;

    for (;;) {
        PyObject *reply = NULL, *choice;
        int usual;

        if (!self->late && (self->data != NULL || self->address != NULL)) {
            return put_off(self, result);
        }
        if (!reach(self)) {
            return PYGEN_ERROR;
        }
        if (self->data != NULL) {
            status = go_on_writing(self, result);
            if (status != PYGEN_RETURN) {
                return status;
            }
            Py_CLEAR(*result);
        }
        self->late = 0;
        status = go_on_reading(self, &reply);
        if (status != PYGEN_RETURN) {
            *result = reply;
            return status;
        }
        choice = self->choices == NULL ? NULL : chosen(self->choices, reply);
        if (choice != NULL) {
            if (!serve(self, choice, reply)) {
                return PYGEN_ERROR;
            }
            continue;
        }
        usual = self->choices == NULL && is_expected(reply, PyTuple_GET_ITEM(self->steps, self->step));
        if (!usual || self->step + 1 == PyTuple_GET_SIZE(self->steps)) {
            *result = both(PyLong_FromSsize_t(self->step + usual), reply);
            self->choices = NULL;
            Py_CLEAR(self->steps);
            return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
        }
        Py_DECREF(reply);
        begin_step(self, self->step + 1);
    }
}

static void begin(struct stream *self, PySendResult (*action)(struct stream *self, PyObject **result))
{
    self->action = action;
    self->waited = 0;
    self->late = 0;
    Py_CLEAR(self->outcome);
}

int stream_shake_hands(struct stream *self, PyObject *context, void *native, int more)
{
    void *connection = tls_transport->begin(native, self->descriptor, 0);

    if (connection == NULL) {
        return done(PyErr_NoMemory());
    }
    forget_tls(self);
    Py_SETREF(self->tls, Py_NewRef(context));
    self->connection = connection;
    self->bare = 1;
    self->more = (char) more;
    begin(self, go_on_shaking_hands);
    return 1;
}

static PySendResult go_on_waiting(struct stream *self, PyObject **result)
{
    if (!self->waited) {
        self->waited = 1;
        return wait_for(self, self->events, result);
    }
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *stream_wait(PyObject *object, PyObject *events)
{
    struct stream *self = (struct stream *) object;

    if (!take_int(events, &self->events)) {
        return NULL;
    }
    begin(self, go_on_waiting);
    return Py_NewRef(object);
}

static int begin_reading(struct stream *self, PyObject *limit,
                         PySendResult (*action)(struct stream *self, PyObject **result))
{
    self->limit = PyLong_AsSsize_t(limit);
    if (self->limit < 0) {
        return PyErr_Occurred() ? 0 : raised(PyExc_ValueError, "negative limit");
    }
    if (self->limit > READ_SIZE) {
        self->limit = READ_SIZE;
    }
    begin(self, action);
    return 1;
}

static PyObject *stream_read(PyObject *object, PyObject *limit)
{
    return begin_reading((struct stream *) object, limit, go_on_reading) ? Py_NewRef(object) : NULL;
}

static PyObject *stream_write(PyObject *object, PyObject *data)
{
    struct stream *self = (struct stream *) object;

    if (!PyBytes_Check(data)) {
        return PyErr_Format(PyExc_TypeError, "only bytes can be written");
    }
    begin(self, go_on_writing);
    Py_XSETREF(self->data, Py_NewRef(data));
    self->offset = 0;
    return Py_NewRef(object);
}

static int is_bytes_or_none(PyObject *object)
{
    return object == Py_None || PyBytes_Check(object);
}

/* Whether it is a tuple of tuples with the fields of Choice. */
static int are_choices(PyObject *choices)
{
    Py_ssize_t i;

    if (!PyTuple_Check(choices)) {
        return 0;
    }
    for (i = 0; i < PyTuple_GET_SIZE(choices); i++) {
        PyObject *choice = PyTuple_GET_ITEM(choices, i);

        if (!PyTuple_Check(choice) || PyTuple_GET_SIZE(choice) != CHOICE_FIELDS ||
            !PyBytes_Check(PyTuple_GET_ITEM(choice, START)) || !PyLong_Check(PyTuple_GET_ITEM(choice, ARGUMENT)) ||
            !PyBytes_Check(PyTuple_GET_ITEM(choice, ANSWER)) || !are_choices(PyTuple_GET_ITEM(choice, CHOICES))) {
            return 0;
        }
    }
    return 1;
}

/* Whether it is (command or None, (last, others or None, ...)); last may be a set, and others may be choices. */
static int is_step(PyObject *step)
{
    PyObject *wanted;

    if (!PyTuple_Check(step) || PyTuple_GET_SIZE(step) != 2 || !is_bytes_or_none(PyTuple_GET_ITEM(step, 0))) {
        return 0;
    }
    wanted = PyTuple_GET_ITEM(step, 1);
    return PyTuple_Check(wanted) && PyTuple_GET_SIZE(wanted) >= 2 &&
           (PyBytes_Check(PyTuple_GET_ITEM(wanted, 0)) || PyAnySet_Check(PyTuple_GET_ITEM(wanted, 0))) &&
           (is_bytes_or_none(PyTuple_GET_ITEM(wanted, 1)) || are_choices(PyTuple_GET_ITEM(wanted, 1)));
}

int stream_exchange(struct stream *self, PyObject *limit, PyObject *steps)
{
    Py_ssize_t count = PyTuple_Check(steps) ? PyTuple_GET_SIZE(steps) : 0, i;

    for (i = 0; i < count && is_step(PyTuple_GET_ITEM(steps, i)); i++) {
    }
    if (count == 0 || i < count) {
        return raised(PyExc_ValueError, "a step is a command, and how the lines of its reply start");
    }
    if (!begin_reading(self, limit, go_on_exchanging)) {
        return 0;
    }
    Py_CLEAR(self->heard);
    Py_XSETREF(self->steps, Py_NewRef(steps));
    begin_step(self, 0);
    return 1;
}

static PyObject *exchange(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    if (!counted(given, 2) || !stream_exchange((struct stream *) object, arguments[0], arguments[1])) {
        return NULL;
    }
    return Py_NewRef(object);
}

PySendResult stream_go_on(struct stream *self, PyObject **result)
{
    PySendResult status;

    *result = self->outcome;
    self->outcome = NULL;
    if (*result != NULL) {
        return PYGEN_RETURN;
    }
    if (self->action == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "nothing has been begun that could be waited for");
        return PYGEN_ERROR;
    }
    if (self->action != go_on_exchanging && !reach(self)) {
        return PYGEN_ERROR;
    }
    status = self->action(self, result);
    if (status != PYGEN_NEXT) {
        self->action = NULL;
    }
    return status;
}

static PySendResult stream_send(PyObject *object, PyObject *Py_UNUSED(value), PyObject **result)
{
    return stream_go_on((struct stream *) object, result);
}

/* As stream_send, for callers that use the iterator protocol, such as profilers. */
static PyObject *stream_next(PyObject *object)
{
    PyObject *result, *stop;
    PySendResult status = stream_send(object, Py_None, &result);

    if (status != PYGEN_RETURN) {
        return result;
    }
    stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

int stream_park(struct stream *self, PyObject *task)
{
    struct timed *timed = (struct timed *) task;

    if (!PyObject_TypeCheck(task, &timed_type)) {
        return raised(PyExc_TypeError, "no Timed");
    }
    if (self->deadline == (double) INFINITY) {
        timers_cancel(timed);
    } else if (timed->deadline != self->deadline &&
               !timers_set(self->loop->timers, timed, self->deadline, self->loop->now)) {
        return 0;
    }
    Py_XSETREF(self->task, Py_NewRef(task));
    return 1;
}

static int resume(struct stream *self, PyObject *error)
{
    PyObject *task = self->task;
    int fine;

    self->task = NULL;
    self->action = NULL;
    if (Py_IS_TYPE(task, &task_type)) {
        fine = task_resume((struct task *) task, error);
    } else {
        fine = done(PyObject_CallMethodOneArg(task, names.resume, error == NULL ? Py_None : error));
    }
    Py_DECREF(task);
    Py_XDECREF(error);
    return fine;
}

/* Continues the action. The task is resumed once there is a result. Without `mask` it is what was put off. */
int stream_ready(PyObject *object, int mask)
{
    struct stream *self = (struct stream *) object;
    PyObject *result = NULL;
    PySendResult status;

    if (mask == 0 ? !self->late : !self->watched) {
        return 1; /* closed in the present round, or interrupted */
    }
    if (self->task == NULL || self->task == Py_None) { /* no task waits */
        int watched = self->watched;

        self->late = self->watched = 0;
        return !watched || loop_watch(self->loop, self->descriptor, watched, 0, object);
    }
    if (self->action == NULL) {
        return resume(self, NULL);
    }
    status = self->action(self, &result);
    if (status == PYGEN_ERROR) {
        return resume(self, take_exception());
    }
    if (status == PYGEN_RETURN) {
        Py_XSETREF(self->outcome, result);
        return resume(self, NULL);
    }
    Py_DECREF(result);
    return 1;
}

/* The methods for Python; a wait only ends by readiness, and a value that is sent is ignored. */

static PyObject *ready(PyObject *object, PyObject *mask)
{
    int value;

    return none_if(take_int(mask, &value) && stream_ready(object, value));
}

void stream_give_away(struct stream *self)
{
    Py_CLEAR(self->closed);
    Py_SETREF(self->tls, Py_NewRef(Py_None));
    self->connection = NULL;
    self->bare = 0;
    self->watched = 0;
    self->late = 0;
}

static PyObject *get_tls(PyObject *object, void *Py_UNUSED(closure))
{
    struct stream *self = (struct stream *) object;

    return dressed(&self->tls, self->connection, &self->bare);
}

static PyObject *stream_reach(PyObject *object, PyObject *Py_UNUSED(none))
{
    return none_if(reach((struct stream *) object));
}

static PyObject *stream_hand_over(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct stream *self = (struct stream *) object;
    PyObject *tls = get_tls(object, NULL);
    PyObject *given = tls == NULL ? NULL : Py_BuildValue("iNi", self->descriptor, tls, self->watched);

    if (given != NULL) {
        stream_give_away(self);
    }
    return given;
}

static PyObject *stream_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct stream *self = (struct stream *) object;
    PyObject *closed, *tls, *result = NULL;
    void *connection = self->connection;
    int watched = self->watched, bare = self->bare;

    if (self->closed == NULL) {
        Py_RETURN_NONE;
    }
    closed = Py_NewRef(self->closed);
    tls = Py_NewRef(self->tls);
    stream_give_away(self);
    if ((!watched || loop_forget(self->loop, self->descriptor)) && tls_free(tls, connection, bare)) {
        close(self->descriptor);
        result = PyObject_TypeCheck(closed, &connections_type) ? none_if(connections_release(closed))
                                                               : PyObject_CallNoArgs(closed);
    }
    Py_DECREF(tls);
    Py_DECREF(closed);
    return result;
}

static int set_tls(PyObject *object, PyObject *tls, void *Py_UNUSED(closure))
{
    struct stream *self = (struct stream *) object;
    void *connection;

    if (tls == NULL) {
        PyErr_SetString(PyExc_AttributeError, "tls");
        return -1;
    }
    forget_tls(self);
    self->connection = NULL; /* its SSL may be gone, whatever follows */
    Py_SETREF(self->tls, Py_NewRef(Py_None));
    connection = connection_of(tls);
    if (PyErr_Occurred()) {
        return -1;
    }
    self->connection = connection;
    Py_SETREF(self->tls, Py_NewRef(tls));
    return 0;
}

static PyObject *get_secure(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((struct stream *) object)->connection != NULL);
}

static PyObject *get_agreement(PyObject *object, void *Py_UNUSED(closure))
{
    const struct stream *self = (struct stream *) object;
    struct agreement agreement;

    if (self->connection == NULL) {
        Py_RETURN_NONE;
    }
    tls_transport->describe(self->connection, &agreement);
    return Py_BuildValue("yyy", agreement.protocol, agreement.cipher, agreement.server_name);
}

static PyGetSetDef stream_properties[] = {
    {"tls", get_tls, set_tls, "The TLS connection, None without TLS.", NULL},
    {"secure", get_secure, NULL, "Whether the connection uses TLS.", NULL},
    {"agreement", get_agreement, NULL, "The parameters of the TLS connection, None without TLS.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *stream_self(PyObject *self)
{
    return Py_NewRef(self);
}

static PyMemberDef stream_members[] = {
    {"deadline", T_DOUBLE, offsetof(struct stream, deadline), 0, NULL},
    {"descriptor", T_INT, offsetof(struct stream, descriptor), READONLY, NULL},
    {"watched", T_INT, offsetof(struct stream, watched), 0, NULL},
    {"loop", T_OBJECT_EX, offsetof(struct stream, loop), READONLY, NULL},
    {"party", T_OBJECT_EX, offsetof(struct stream, party), READONLY, NULL},
    {"task", T_OBJECT, offsetof(struct stream, task), 0, NULL},
    {"received", T_ULONGLONG, offsetof(struct stream, received), 0, NULL},
    {"row", T_INT, offsetof(struct stream, row), 0, NULL},
    {"sent", T_ULONGLONG, offsetof(struct stream, sent), 0, NULL},
    {"step", T_PYSSIZET, offsetof(struct stream, step), READONLY, NULL},
    {"heard", T_OBJECT, offsetof(struct stream, heard), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef stream_methods[] = {
    {"read", stream_read, METH_O, "read(limit)"},
    {"write", stream_write, METH_O, "write(data)"},
    {"wait", stream_wait, METH_O, "wait(events)"},
    {"exchange", FAST(exchange), "exchange(limit, steps)"},
    {"ready", ready, METH_O, "ready(mask)"},
    {"reach", stream_reach, METH_NOARGS, "reach(): connect now, if that was put off."},
    {"hand_over", stream_hand_over, METH_NOARGS,
     "Give away the descriptor, the TLS connection, and the events that the descriptor is watched for."},
    {"close", stream_close, METH_NOARGS, "Close at once."},
    {NULL, NULL, 0, NULL},
};

static PyAsyncMethods stream_async = {.am_await = stream_self, .am_send = stream_send};

PyTypeObject stream_type = {
    COLLECTED_TYPE("BaseStream", stream, "A byte stream over a descriptor.", Py_TPFLAGS_BASETYPE),
    .tp_new = PyType_GenericNew,
    .tp_init = stream_init,
    .tp_as_async = &stream_async,
    .tp_iter = stream_self,
    .tp_iternext = stream_next,
    .tp_members = stream_members,
    .tp_getset = stream_properties,
    .tp_methods = stream_methods,
};
