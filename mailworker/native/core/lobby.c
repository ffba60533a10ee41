/* Accepts clients, and greets them; see event/lobby.py, and guest.c for what follows. */

#include "lobby.h"

#include <unistd.h>

static PyObject *lobby_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *connections, *party, *step, *limit, *left, *noticed, *full, *checks = NULL, *stopped = Py_None;
    PyObject *rows = Py_None, *forgotten = Py_None;
    unsigned short server = 0;
    struct lobby *self;
    double timeout;

    if (!PyArg_ParseTuple(arguments, "O!OOO!dOOO|O!OOHO", &connections_type, &connections, &party, &step, &PyLong_Type,
                          &limit, &timeout, &left, &noticed, &full, &PyTuple_Type, &checks, &stopped, &rows, &server,
                          &forgotten)) {
        return NULL;
    }
    if (rows != Py_None && !PyObject_TypeCheck(rows, &rows_type)) {
        return PyErr_Format(PyExc_TypeError, "rows are wanted");
    }
    self = (struct lobby *) type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->connections = Py_NewRef(connections);
    self->party = Py_NewRef(party);
    self->steps = PyTuple_Pack(1, step);
    self->limit = Py_NewRef(limit);
    self->timeout = timeout;
    self->left = Py_NewRef(left);
    self->noticed = Py_NewRef(noticed);
    self->full = Py_NewRef(full);
    self->checks = checks == NULL ? PyTuple_New(0) : Py_NewRef(checks);
    self->stopped = Py_NewRef(stopped);
    self->forgotten = Py_NewRef(forgotten);
    self->guests = PySet_New(NULL);
    self->rows = rows == Py_None ? NULL : (struct rows *) Py_NewRef(rows);
    self->server = server;
    if (self->steps == NULL || self->guests == NULL || self->checks == NULL) {
        Py_CLEAR(self);
    }
    return (PyObject *) self;
}

#define GIVEN(REF) REF(connections) REF(party) REF(limit) REF(left) REF(noticed) REF(full) REF(checks) REF(stopped)
#define REFERENCES(REF) GIVEN(REF) REF(forgotten) REF(steps) REF(guests) REF(rows) REF(context) REF(shaken)
COLLECTED(lobby, REFERENCES)

/* A new guest, which is counted; NULL with an exception. The descriptor is closed with its stream. */
static struct guest *receive(struct lobby *self, PyObject *descriptor, PyObject *peer)
{
    struct loop *loop = connections_loop(self->connections);
    struct guest *guest;
    int fd;

    if (!take_int(descriptor, &fd)) {
        return NULL;
    }
    guest = (struct guest *) guest_type.tp_alloc(&guest_type, 0);
    if (guest != NULL) {
        guest->stream = (struct stream *) connections_stream(self->connections, fd, self->party);
        guest->timed.deadline = Py_HUGE_VAL;
    }
    if (guest == NULL || guest->stream == NULL) {
        Py_XDECREF(guest);
        close(fd);
        return NULL;
    }
    guest->number = connections_take(self->connections); /* there is one, as `accepted` knows */
    guest->lobby = (struct lobby *) Py_NewRef(self);
    guest->peer = Py_NewRef(peer);
    guest->accepted = loop->now;
    guest->stream->deadline = loop->now + self->timeout;
    return guest;
}

/* Begins the guest's row in the session table, if there is one. */
static int list(const struct lobby *self, struct guest *guest)
{
    int row;

    if (self->rows == NULL) {
        return 1;
    }
    row = rows_begin(self->rows, (PyObject *) guest, guest->number, guest->accepted, self->server, guest->peer);
    guest->stream->row = row;
    guest->listed = row != NO_ROW || !PyErr_Occurred();
    return guest->listed;
}

/* Whether a guest passes one check; -1 with an exception. */
static int passes(PyObject *check, PyObject *client, PyObject *number, double now)
{
    PyObject *arguments[] = {check, client, number, NULL}, *result;
    int passing;

    if (PyObject_TypeCheck(check, &attempts_type)) {
        return attempts_pass(check, client, now);
    }
    if (Py_IS_TYPE(check, &gate_type)) {
        return gate_passes(check, client, number);
    }
    arguments[3] = PyFloat_FromDouble(now);
    result = arguments[3] == NULL ? NULL : PyObject_VectorcallMethod(names.passes, arguments, 4, NULL);
    passing = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(arguments[3]);
    Py_XDECREF(result);
    return passing;
}

static int passes_all(const struct lobby *self, const struct guest *guest)
{
    PyObject *number = PyLong_FromLongLong(guest->number);
    PyObject *client = PyTuple_Check(guest->peer) ? PyTuple_GET_ITEM(guest->peer, 0) : names.no_address;
    int passing = number == NULL ? -1 : 1;
    Py_ssize_t i;

    for (i = 0; passing == 1 && i < PyTuple_GET_SIZE(self->checks); i++) {
        passing = passes(PyTuple_GET_ITEM(self->checks, i), client, number, guest->accepted);
    }
    Py_XDECREF(number);
    return passing;
}

/* The first step of a guest; 0 where there is no memory for a handshake, -1 with an exception. */
static int begin(const struct lobby *self, struct guest *guest)
{
    if (self->context == NULL) {
        return guest_greet(guest) ? 1 : -1;
    }
    if (stream_shake_hands(guest->stream, self->context, self->native, 1)) {
        guest->shaking = 1;
        return 1;
    }
    PyErr_Clear();
    return 0;
}

/* Greets a guest, or passes it to `stopped`. */
static int receive_or_stop(struct lobby *self, struct guest *guest)
{
    int passing = PyTuple_GET_SIZE(self->checks) == 0 ? 1 : passes_all(self, guest);

    if (passing == 1) {
        passing = begin(self, guest);
    }
    if (passing < 1) {
        passing = passing == 0 && done(PyObject_CallOneArg(self->stopped, (PyObject *) guest));
        if (passing) {
            Py_CLEAR(guest->lobby);
        }
        return passing;
    }
    return list(self, guest) && PySet_Add(self->guests, (PyObject *) guest) == 0 && guest_go_on(guest);
}

static PyObject *accepted(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct lobby *self = (struct lobby *) object;
    struct guest *guest;
    int fine;

    if (!counted(given, 2)) {
        return NULL;
    }
    if (!connections_free(self->connections)) {
        return PyObject_Vectorcall(self->full, arguments, 2, NULL);
    }
    guest = receive(self, arguments[0], arguments[1]);
    if (guest == NULL) {
        return NULL;
    }
    fine = guest_unless_bug(guest, (self->noticed == Py_None || done(PyObject_CallNoArgs(self->noticed))) &&
                                       receive_or_stop(self, guest));
    Py_DECREF(guest);
    return none_if(fine);
}

static PyObject *shake_hands(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct lobby *self = (struct lobby *) object;

    if (!counted(given, 2)) {
        return NULL;
    }
    self->native = connection_of(arguments[0]);
    if (self->native == NULL) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no context");
    }
    Py_XSETREF(self->context, Py_NewRef(arguments[0]));
    Py_XSETREF(self->shaken, Py_NewRef(arguments[1]));
    Py_RETURN_NONE;
}

static PyMemberDef lobby_members[] = {
    {"guests", T_OBJECT_EX, offsetof(struct lobby, guests), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef lobby_methods[] = {
    {"accepted", FAST(accepted), "accepted(descriptor, peer): called by the listener for each connection."},
    {"shake_hands", FAST(shake_hands),
     "shake_hands(context, shaken): do a TLS handshake with all clients that connect from now on."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject lobby_type = {
    COLLECTED_TYPE("Lobby", lobby, "Greets all clients.", 0),
    .tp_new = lobby_new,
    .tp_members = lobby_members,
    .tp_methods = lobby_methods,
};
