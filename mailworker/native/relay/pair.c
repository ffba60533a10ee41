/* Both sides of a relay: how they begin, how long they may be idle, and how they are closed. See event/pair.py. */

#include "side.h"

#include <math.h>

struct terms {
    PyObject_HEAD
    PyObject *connections;
    struct pump_object *clients; /* moves the bytes of clients */
    struct pump_object *backends;
    double silence;
    double linger;
};

struct pair {
    struct timed timed;
    struct terms *terms;
    struct side *client;
    struct side *backend;
};

static PyObject *terms_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *connections, *clients, *backends;
    double silence, linger;
    struct terms *self;

    if (!PyArg_ParseTuple(arguments, "O!O!O!dd", &connections_type, &connections, &pump_type, &clients, &pump_type,
                          &backends, &silence, &linger)) {
        return NULL;
    }
    self = (struct terms *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->connections = Py_NewRef(connections);
        self->clients = (struct pump_object *) Py_NewRef(clients);
        self->backends = (struct pump_object *) Py_NewRef(backends);
        self->silence = silence;
        self->linger = linger;
    }
    return (PyObject *) self;
}

#define TERMS(REF) REF(connections) REF(clients) REF(backends)
HOLDING(terms, TERMS)

static PyMemberDef terms_members[] = {
    {"connections", T_OBJECT_EX, offsetof(struct terms, connections), READONLY, NULL},
    {"clients", T_OBJECT_EX, offsetof(struct terms, clients), READONLY, NULL},
    {"backends", T_OBJECT_EX, offsetof(struct terms, backends), READONLY, NULL},
    {"silence", T_DOUBLE, offsetof(struct terms, silence), READONLY, NULL},
    {"linger", T_DOUBLE, offsetof(struct terms, linger), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject terms_type = {
    TYPE("Terms", terms, "The parameters that pairs share: their counter, their pumps and timeouts.", 0),
    .tp_new = terms_new,
    .tp_dealloc = terms_dealloc,
    .tp_members = terms_members,
};

/* An empty side of the pump's kind; NULL with an exception. */
static struct side *side_for(struct pump_object *owner)
{
    PyTypeObject *type = owner->rows == NULL ? &side_type : &listed_type;

    if (owner->pump.watching || owner->pump.limiting) {
        type = owner->pump.limiting ? &limited_type : &watched_type;
    }
    return (struct side *) type->tp_alloc(type, 0);
}

/* Whether the arguments have the right types; parsing them by a format takes ten times as long. */
static int is_made_of(PyObject *arguments)
{
    PyObject **given = ((PyTupleObject *) arguments)->ob_item;

    return PyTuple_GET_SIZE(arguments) == 5 && PyObject_TypeCheck(given[0], &terms_type) &&
           PyObject_TypeCheck(given[1], &stream_type) && PyBytes_Check(given[2]) &&
           PyObject_TypeCheck(given[3], &stream_type) && PyBytes_Check(given[4]);
}

static int pair_init(PyObject *object, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    struct pair *self = (struct pair *) object;
    PyObject **given = ((PyTupleObject *) arguments)->ob_item;
    struct side *client, *backend;
    struct terms *terms;

    if (!is_made_of(arguments)) {
        PyErr_SetString(PyExc_TypeError, "Pair(terms, client, clients_words, backend, backends_words)");
        return -1;
    }
    if (self->terms != NULL) {
        PyErr_SetString(PyExc_TypeError, "it is a pair already");
        return -1;
    }
    terms = (struct terms *) given[0];
    client = side_for(terms->clients);
    backend = client == NULL ? NULL : side_for(terms->backends);
    if (backend == NULL) { /* both streams still belong to the caller */
        Py_XDECREF(client);
        return -1;
    }
    self->terms = (struct terms *) Py_NewRef(terms);
    self->client = client;
    self->backend = backend;
    side_take(client, object, terms->clients, (struct stream *) given[1], given[2]);
    side_take(backend, object, terms->backends, (struct stream *) given[3], given[4]);
    return 0;
}

#define SIDES(REF) REF(terms) REF(client) REF(backend)
HOLDING(pair, SIDES)

static struct loop *loop_of(struct pair *self)
{
    return connections_loop(self->terms->connections);
}

static int set_deadline(struct pair *self, double deadline)
{
    struct loop *loop = loop_of(self);

    return timers_set(loop->timers, &self->timed, deadline, loop->now);
}

/* When the pair is overdue if no byte comes from either side. */
static double due(const struct pair *self)
{
    int half_closed = self->client->ended || self->backend->ended;

    return fmax(self->client->active, self->backend->active) +
           (half_closed ? self->terms->linger : self->terms->silence);
}

/* Whether the pair has both sides; a derived class in Python may not have called the constructor. */
static int is_whole(struct pair *self)
{
    if (self->backend == NULL) {
        PyErr_SetString(PyExc_TypeError, "no pair yet");
    }
    return self->backend != NULL;
}

static PyObject *begin(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct pair *self = (struct pair *) object;

    if (!is_whole(self)) {
        return NULL;
    }
    no_delay(self->backend->fd);
    return none_if(set_deadline(self, loop_of(self)->now + self->terms->silence) &&
                   side_join(self->client, self->backend));
}

int pair_half_close(PyObject *object)
{
    struct pair *self = (struct pair *) object;

    return is_whole(self) && set_deadline(self, due(self));
}

int pair_ended_by_client(PyObject *object)
{
    const struct pair *self = (struct pair *) object;

    return self->client != NULL && self->client->ended == 1;
}

static PyObject *expire(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct pair *self = (struct pair *) object;

    if (!is_whole(self)) {
        return NULL;
    }
    if (due(self) > loop_of(self)->now) {
        return none_if(set_deadline(self, due(self)));
    }
    return PyObject_CallMethodNoArgs(object, names.time_out);
}

static PyObject *close_pair(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct pair *self = (struct pair *) object;
    int fine;

    if (!is_whole(self)) {
        return NULL;
    }
    timers_cancel(&self->timed);
    fine = side_close(self->client);
    fine = side_close(self->backend) && fine;
    return none_if(fine && connections_release(self->terms->connections) &&
                   connections_release(self->terms->connections));
}

static PyMemberDef pair_members[] = {
    {"terms", T_OBJECT_EX, offsetof(struct pair, terms), READONLY, NULL},
    {"client", T_OBJECT_EX, offsetof(struct pair, client), READONLY, NULL},
    {"backend", T_OBJECT_EX, offsetof(struct pair, backend), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef pair_methods[] = {
    {"begin", begin, METH_NOARGS, "begin(): begin to relay."},
    {"expire", expire, METH_NOARGS, "expire(): the deadline has passed; it moved on if there was traffic meanwhile."},
    {"close", close_pair, METH_NOARGS, "close(): close both connections."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject pair_type = {
    TYPE("Pair", pair, "The two connections of a relay, the client's and the backend's.", Py_TPFLAGS_BASETYPE),
    .tp_init = pair_init,
    .tp_dealloc = pair_dealloc,
    .tp_members = pair_members,
    .tp_methods = pair_methods,
};
