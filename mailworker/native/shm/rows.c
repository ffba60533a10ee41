/* A worker's rows of the session table; event/rows.py describes the methods, shm/session_row.py the layout. */

#include "mail.h"
#include "row.h"

#include <string.h>

#define STEP (1U << 20)

enum { CLAIMED, USED, UNLISTED, HEAD };

struct rows {
    PyObject_HEAD
    Py_buffer head_memory, memory;
    double began;
    PyObject **owners; /* of all rows that were ever used; NULL for a free one */
    uint32_t *unused;  /* a stack of rows that are free again */
    Py_ssize_t used, free, size;
    uint64_t process;
};

static uint64_t *head_of(const struct rows *self)
{
    return self->head_memory.buf;
}

/* Writes a word of the head in one store, so that no reader sees half of it. */
static void say(const struct rows *self, int place, uint64_t value)
{
    __atomic_store_n(head_of(self) + place, value, __ATOMIC_RELAXED);
}

static struct row *at(const struct rows *self, Py_ssize_t number)
{
    return (struct row *) self->memory.buf + number;
}

int rows_has(const struct rows *self, Py_ssize_t number)
{
    return number >= 0 && number < self->used && self->owners[number] != NULL;
}

int rows_owned(const struct rows *self, Py_ssize_t number, const PyObject *owner)
{
    return rows_has(self, number) && self->owners[number] == owner;
}

static int no_row(void)
{
    return raised(PyExc_IndexError, "no such row");
}

/* The row with the number in an argument; NULL for NO_ROW, or with an exception. */
static struct row *find(const struct rows *self, PyObject *argument, Py_ssize_t *number)
{
    *number = PyLong_AsSsize_t(argument);
    if (*number == NO_ROW) {
        return NULL;
    }
    if (!rows_has(self, *number)) {
        (void) no_row();
        return NULL;
    }
    return at(self, *number);
}

/* The same for the first of `count` arguments. */
static struct row *find_first(const struct rows *self, PyObject *const *arguments, Py_ssize_t count, Py_ssize_t wanted)
{
    Py_ssize_t number;

    return counted(count, wanted) ? find(self, arguments[0], &number) : NULL;
}

static PyObject *nothing(void)
{
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static int enlarge(struct rows *self)
{
    Py_ssize_t size = self->size > 0 ? 2 * self->size : 64;
    PyObject **owners = PyMem_Realloc(self->owners, (size_t) size * sizeof(*owners));
    uint32_t *unused;

    if (owners != NULL) {
        self->owners = owners;
        unused = PyMem_Realloc(self->unused, (size_t) size * sizeof(*unused));
        if (unused != NULL) {
            self->unused = unused;
            self->size = size;
            return 1;
        }
    }
    return 0;
}

/* Takes a free row; NO_ROW where there is none, or no memory for its owner. */
static Py_ssize_t take_free(struct rows *self)
{
    if (self->free > 0) {
        return self->unused[--self->free];
    }
    if (self->used == self->memory.len / (Py_ssize_t) sizeof(struct row) ||
        (self->used == self->size && !enlarge(self))) {
        say(self, UNLISTED, head_of(self)[UNLISTED] + 1);
        return NO_ROW;
    }
    say(self, USED, (uint64_t) self->used + 1);
    return self->used++;
}

static void put_id(unsigned char *bytes, struct session_id id)
{
    int i;

    for (i = 0; i < 6; i++) {
        bytes[i] = (unsigned char) (id.time >> (40 - 8 * i));
        bytes[i + 6] = (unsigned char) (id.origin >> (40 - 8 * i));
    }
}

Py_ssize_t rows_begin(struct rows *self, PyObject *owner, long long number, double accepted, uint16_t server,
                      PyObject *client)
{
    struct row fresh = {.mark = LOGIN, .server = server}, *row;
    Py_ssize_t place;

    if (!take_address(client, fresh.client, &fresh.client_port)) {
        return NO_ROW;
    }
    place = take_free(self);
    if (place == NO_ROW) {
        return NO_ROW;
    }
    put_id(fresh.id, session_id_of(self->began, self->process, accepted, (uint64_t) number));
    fresh.active = fresh.accepted = (uint32_t) (int64_t) accepted;
    self->owners[place] = Py_NewRef(owner);
    row = row_begin(at(self, place));
    memcpy(&row->received, &fresh.received, sizeof(fresh) - offsetof(struct row, received));
    row_finish(row);
    return place;
}

static PyObject *rows_open(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    uint64_t number;
    Py_ssize_t place;
    uint16_t server;
    double accepted;

    if (!counted(count, 5)) {
        return NULL;
    }
    if (!take_mask(arguments[1], &number) || !take_real(arguments[2], &accepted) ||
        !take_short(arguments[3], &server)) {
        return NULL;
    }
    place = rows_begin((struct rows *) object, arguments[0], (long long) number, accepted, server, arguments[4]);
    return place == NO_ROW && PyErr_Occurred() ? NULL : PyLong_FromSsize_t(place);
}

static PyObject *rows_owner(PyObject *object, PyObject *argument)
{
    const struct rows *self = (const struct rows *) object;
    Py_ssize_t number = PyLong_AsSsize_t(argument);

    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(rows_has(self, number) ? self->owners[number] : Py_None);
}

static PyObject *rows_pass_on(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct rows *self = (struct rows *) object;
    Py_ssize_t number;

    if (counted(count, 2) && find(self, arguments[0], &number) != NULL) {
        Py_SETREF(self->owners[number], Py_NewRef(arguments[1]));
    }
    return nothing();
}

static PyObject *rows_move(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct row *row = find_first((struct rows *) object, arguments, count, 2);
    unsigned char client[ADDRESS_SIZE];
    uint16_t port;

    if (row != NULL && take_address(arguments[1], client, &port)) {
        row_begin(row);
        memcpy(row->client, client, sizeof(client));
        row->client_port = port;
        row_finish(row);
    }
    return nothing();
}

static PyObject *rows_ask(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct row *row = find_first((struct rows *) object, arguments, count, 3);
    struct name name;
    uint32_t now;

    if (row != NULL && take_seconds(arguments[2], &now) && take_name(arguments[1], &name)) {
        put_name(row_begin(row), &name);
        row->mark = AUTH;
        row->active = now;
        row_finish(row);
    }
    return nothing();
}

static PyObject *rows_dial(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct row *row = find_first((struct rows *) object, arguments, count, 3);
    unsigned char backend[ADDRESS_SIZE];
    uint16_t port;
    uint32_t now;
    int unix_socket;

    if (row == NULL || !take_seconds(arguments[2], &now) || !take_address(arguments[1], backend, &port)) {
        return nothing();
    }
    unix_socket = arguments[1] != Py_None && !PyTuple_Check(arguments[1]);
    if (unix_socket && !take_socket(arguments[1], backend)) {
        return nothing();
    }
    memcpy(row_begin(row)->backend, backend, sizeof(backend));
    row->backend_port = port;
    row->mark = (uint8_t) (BACKEND | (unix_socket ? UNIX : 0));
    row->active = now;
    row_finish(row);
    return nothing();
}

void rows_relay(struct rows *self, Py_ssize_t number, double now)
{
    struct row *row = row_begin(at(self, number));

    row->mark = (uint8_t) (RELAY | (row->mark & UNIX));
    row->active = row->logged_in = (uint32_t) (int64_t) now;
    row_finish(row);
}

void rows_note(struct rows *self, Py_ssize_t number, uint64_t received, uint64_t sent, double now)
{
    struct row *row = at(self, number);
    uint32_t seconds = (uint32_t) (int64_t) now;

    if (seconds != row->active || received + sent - row->received - row->sent >= STEP) {
        row_begin(row)->received = received;
        row->sent = sent;
        row->active = seconds;
        row_finish(row);
    }
}

int rows_end(struct rows *self, Py_ssize_t number)
{
    struct row *row;

    if (number == NO_ROW) {
        say(self, UNLISTED, head_of(self)[UNLISTED] - 1);
        return 1;
    }
    if (!rows_has(self, number)) {
        return no_row();
    }
    row = row_begin(at(self, number));
    memset(&row->received, 0, sizeof(*row) - offsetof(struct row, received));
    row_finish(row);
    self->unused[self->free++] = (uint32_t) number;
    Py_CLEAR(self->owners[number]);
    return 1;
}

static PyObject *rows_close(PyObject *object, PyObject *argument)
{
    Py_ssize_t number = PyLong_AsSsize_t(argument);

    return number == NO_ROW && PyErr_Occurred() ? NULL : none_if(rows_end((struct rows *) object, number));
}

static int rows_traverse(PyObject *object, visitproc visit, void *arg)
{
    const struct rows *self = (const struct rows *) object;
    Py_ssize_t i;

    for (i = 0; i < self->used; i++) {
        Py_VISIT(self->owners[i]);
    }
    return 0;
}

static int rows_clear(PyObject *object)
{
    struct rows *self = (struct rows *) object;
    Py_ssize_t i;

    for (i = 0; i < self->used; i++) {
        Py_CLEAR(self->owners[i]);
    }
    return 0;
}

static void rows_dealloc(PyObject *object)
{
    struct rows *self = (struct rows *) object;

    PyObject_GC_UnTrack(object);
    (void) rows_clear(object);
    PyMem_Free(self->owners);
    PyMem_Free(self->unused);
    PyBuffer_Release(&self->head_memory);
    PyBuffer_Release(&self->memory);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *rows_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(names))
{
    PyObject *head, *memory;
    unsigned long long process;
    struct rows *self;
    double began;

    if (!PyArg_ParseTuple(arguments, "OOdK", &head, &memory, &began, &process)) {
        return NULL;
    }
    self = (struct rows *) type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->began = began;
    self->process = process;
    if (PyObject_GetBuffer(head, &self->head_memory, PyBUF_WRITABLE) < 0 ||
        PyObject_GetBuffer(memory, &self->memory, PyBUF_WRITABLE) < 0) {
        Py_CLEAR(self);
    } else if (self->head_memory.len < HEAD * (Py_ssize_t) sizeof(uint64_t)) {
        PyErr_SetString(PyExc_ValueError, "the head is too short");
        Py_CLEAR(self);
    }
    return (PyObject *) self;
}

static PyMemberDef rows_members[] = {
    {"_rows", T_OBJECT_EX, offsetof(struct rows, memory.obj), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef rows_methods[] = {
    {"open", FAST(rows_open),
     "open(owner, number, accepted, server, client): begin a row; gives the row, NO_ROW where all are taken."},
    {"owner", rows_owner, METH_O, "owner(row): the owner of the row, or None."},
    {"pass_on", FAST(rows_pass_on), "pass_on(row, owner): give the row another owner."},
    {"move", FAST(rows_move), "move(row, client): write another address of the client, which a balancer has sent."},
    {"ask", FAST(rows_ask), "ask(row, name, now): a login with this user name is being checked."},
    {"dial", FAST(rows_dial), "dial(row, address, now): the session is connecting to a backend."},
    {"close", rows_close, METH_O, "close(row): the session has ended."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject rows_type = {
    COLLECTED_TYPE("Rows", rows, "Writes a worker's rows of the session table.", Py_TPFLAGS_BASETYPE),
    .tp_new = rows_new,
    .tp_members = rows_members,
    .tp_methods = rows_methods,
};
