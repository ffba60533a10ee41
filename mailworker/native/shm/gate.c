/* The check of connections against a server's limit_conn; see shm/gate.py. */

#include "client.h"

#define TOO_LONG (-3)
#define LONGEST_KEY 255
#define MOST_RULES 64 /* of a server; `without` has a bit for each */

/* Where a connection is counted: the place of a table, and a place in its journal. */
struct place {
    uint32_t table, place;
};

struct holdings {
    PyObject_HEAD
    PyObject *tables; /* a tuple */
    PyObject *places; /* by numbers of connections: bytes, which hold structs of places */
};

struct rule {
    Py_ssize_t table;
    int number;
    unsigned int most;
};

struct gate {
    PyObject_HEAD
    struct holdings *held;
    int by_client; /* whether a rule's key is the client's address */
    Py_ssize_t count;
    struct rule rules[MOST_RULES];
};

static PyObject *holdings_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    struct holdings *self;
    PyObject *tables;
    Py_ssize_t i;

    if (!PyArg_ParseTuple(arguments, "O!", &PyTuple_Type, &tables)) {
        return NULL;
    }
    for (i = 0; i < PyTuple_GET_SIZE(tables); i++) {
        if (!PyObject_TypeCheck(PyTuple_GET_ITEM(tables, i), &conns_type)) {
            return PyErr_Format(PyExc_TypeError, "no table");
        }
    }
    self = (struct holdings *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->tables = Py_NewRef(tables);
        self->places = PyDict_New();
        if (self->places == NULL) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static void holdings_dealloc(PyObject *object)
{
    struct holdings *self = (struct holdings *) object;

    Py_XDECREF(self->tables);
    Py_XDECREF(self->places);
    Py_TYPE(object)->tp_free(object);
}

static const struct place *places_in(PyObject *bytes, size_t *count)
{
    *count = bytes == NULL ? 0 : (size_t) PyBytes_GET_SIZE(bytes) / sizeof(struct place);
    return bytes == NULL ? NULL : (const struct place *) PyBytes_AS_STRING(bytes);
}

static void let_go(const struct holdings *self, const struct place *places, size_t count)
{
    while (count-- > 0) {
        conns_let_go(PyTuple_GET_ITEM(self->tables, places[count].table), places[count].place);
    }
}

static PyObject *end(PyObject *object, PyObject *session)
{
    const struct holdings *self = (struct holdings *) object;
    PyObject *number = PyObject_GetAttr(session, names.number);
    PyObject *bytes = number == NULL ? NULL : PyDict_GetItemWithError(self->places, number);
    int fine = number != NULL && !PyErr_Occurred();

    if (bytes != NULL) {
        size_t count;
        const struct place *places = places_in(bytes, &count);

        let_go(self, places, count);
        fine = PyDict_DelItem(self->places, number) == 0;
    }
    Py_XDECREF(number);
    return none_if(fine);
}

static Py_ssize_t holdings_length(PyObject *object)
{
    return PyDict_GET_SIZE(((struct holdings *) object)->places);
}

static PyMethodDef holdings_methods[] = {
    {"end", end, METH_O, "end(session): the session has ended."},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods holdings_sequence = {.sq_length = holdings_length};

PyTypeObject holdings_type = {
    TYPE("Holdings", holdings, "The counted connections of a worker.", 0),
    .tp_new = holdings_new,
    .tp_dealloc = holdings_dealloc,
    .tp_as_sequence = &holdings_sequence,
    .tp_methods = holdings_methods,
};

static int take_rule(const struct holdings *held, PyObject *argument, struct rule *rule)
{
    if (!PyTuple_Check(argument)) {
        return raised(PyExc_TypeError, "a rule is a tuple");
    }
    if (!PyArg_ParseTuple(argument, "niI", &rule->table, &rule->number, &rule->most)) {
        return 0;
    }
    if (rule->table < 0 || rule->table >= PyTuple_GET_SIZE(held->tables) || rule->number < KEY_GIVEN ||
        rule->number > KEY_USER) {
        return raised(PyExc_ValueError, "no such table, or no such key");
    }
    return 1;
}

static int take_rules(struct gate *self, PyObject *rules)
{
    for (; self->count < PyTuple_GET_SIZE(rules); self->count++) {
        if (!take_rule(self->held, PyTuple_GET_ITEM(rules, self->count), &self->rules[self->count])) {
            return 0;
        }
        self->by_client |= self->rules[self->count].number != KEY_USER;
    }
    return 1;
}

static PyObject *gate_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *held, *rules;
    struct gate *self;

    if (!PyArg_ParseTuple(arguments, "O!O!", &holdings_type, &held, &PyTuple_Type, &rules)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(rules) > MOST_RULES) {
        return PyErr_Format(PyExc_ValueError, "too many rules");
    }
    self = (struct gate *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->held = (struct holdings *) Py_NewRef(held);
        if (!take_rules(self, rules)) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static void gate_dealloc(PyObject *object)
{
    Py_XDECREF(((struct gate *) object)->held);
    Py_TYPE(object)->tp_free(object);
}

/* A connection to be counted, its keys, and the places where it was counted. */
struct visit {
    struct client client;
    PyObject *user, *given;
    Py_ssize_t next; /* the next one in `given` */
    unsigned long long without;
    const struct place *before;
    size_t counted, taken;
    struct place places[MOST_RULES];
};

/* `user` is what user_key() gives. */
static int begin(const struct gate *self, struct visit *visit, PyObject *client, PyObject *user, PyObject *given,
                 unsigned long long without)
{
    visit->user = user;
    visit->given = given;
    visit->without = without;
    visit->next = 0;
    visit->taken = 0;
    return !self->by_client || client_read(client, &visit->client);
}

static int was_counted(const struct visit *visit, Py_ssize_t table)
{
    size_t i;

    for (i = 0; i < visit->counted; i++) {
        if (visit->before[i].table == (uint32_t) table) {
            return 1;
        }
    }
    return 0;
}

static int key_of(struct visit *visit, const struct rule *rule, unsigned char *room, struct key *key)
{
    static const int whole[2] = {32, 128};

    if (rule->number == KEY_GIVEN) {
        return take_given(visit->given, &visit->next, key);
    }
    *key = client_key(&visit->client, rule->number, visit->user, whole, room);
    return 1;
}

/* 0 where the connection is counted or need not be, less than 0 for why it is not; 1 with an exception. */
static Py_ssize_t pass_rule(const struct gate *self, struct visit *visit, Py_ssize_t place)
{
    const struct rule *rule = &self->rules[place];
    unsigned char room[ADDRESS_SIZE];
    struct key key;
    Py_ssize_t held;

    if (!key_of(visit, rule, room, &key)) {
        return 1;
    }
    if (key.length == 0 || (visit->without >> place & 1) || was_counted(visit, rule->table)) {
        return 0;
    }
    held = key.length > LONGEST_KEY
               ? TOO_LONG
               : conns_hold(PyTuple_GET_ITEM(self->held->tables, rule->table), key.text, key.length, rule->most);
    if (held < 0) {
        return held;
    }
    visit->places[visit->taken++] = (struct place){(uint32_t) rule->table, (uint32_t) held};
    return 0;
}

static int keep(const struct gate *self, const struct visit *visit, PyObject *number)
{
    size_t before = visit->counted * sizeof(struct place), more = visit->taken * sizeof(struct place);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t) (before + more));
    int kept;

    if (bytes == NULL) {
        return 0;
    }
    if (before != 0) {
        memcpy(PyBytes_AS_STRING(bytes), visit->before, before);
    }
    memcpy(PyBytes_AS_STRING(bytes) + before, visit->places, more);
    kept = PyDict_SetItem(self->held->places, number, bytes) == 0;
    Py_DECREF(bytes);
    return kept;
}

/* The place of the rule that refuses, or the number of rules; -1 with an exception. */
static Py_ssize_t visit_all(const struct gate *self, struct visit *visit, PyObject *number, Py_ssize_t *why)
{
    PyObject *before = PyDict_GetItemWithError(self->held->places, number);
    Py_ssize_t place;

    if (before == NULL && PyErr_Occurred()) {
        return -1;
    }
    visit->before = places_in(before, &visit->counted);
    for (place = 0; place < self->count; place++) {
        *why = pass_rule(self, visit, place);
        if (*why != 0) {
            let_go(self->held, visit->places, visit->taken);
            return *why > 0 ? -1 : place;
        }
    }
    if (visit->taken != 0 && !keep(self, visit, number)) {
        let_go(self->held, visit->places, visit->taken);
        return -1;
    }
    return place;
}

int gate_passes(PyObject *object, PyObject *client, PyObject *number)
{
    const struct gate *self = (struct gate *) object;
    struct visit visit;
    PyObject *nobody = PyBytes_FromStringAndSize(NULL, 0);
    Py_ssize_t why, place = -1;

    if (nobody != NULL && begin(self, &visit, client, nobody, NULL, 0)) {
        place = visit_all(self, &visit, number, &why);
    }
    Py_XDECREF(nobody);
    return place < 0 ? -1 : place == self->count;
}

static PyObject *passes(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    int passing = counted(given, 3) ? gate_passes(object, arguments[0], arguments[1]) : -1;

    return passing < 0 ? NULL : PyBool_FromLong(passing);
}

static PyObject *refusal(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    const struct gate *self = (struct gate *) object;
    unsigned long long without = given == 5 ? PyLong_AsUnsignedLongLong(arguments[4]) : 0;
    PyObject *user;
    struct visit visit;
    Py_ssize_t place = -1, why = 0;

    if (given < 3 || given > 5 || !PyBytes_Check(arguments[2]) || (given > 3 && !PyTuple_Check(arguments[3]))) {
        return PyErr_Format(PyExc_TypeError, "a number, a client, a login, a tuple of keys, and bits");
    }
    user = PyErr_Occurred() ? NULL : user_key(arguments[2]);
    if (user != NULL && begin(self, &visit, arguments[1], user, given > 3 ? arguments[3] : NULL, without)) {
        place = visit_all(self, &visit, arguments[0], &why);
    }
    Py_XDECREF(user);
    if (place < 0) {
        return NULL;
    }
    return place == self->count ? Py_NewRef(Py_None) : Py_BuildValue("nn", place, why);
}

static PyMethodDef gate_methods[] = {
    {"refusal", FAST(refusal),
     "refusal(number, client, login, keys=(), without=0): count a connection; None, or the rule that refuses it, and "
     "why."},
    {"passes", FAST(passes), "passes(client, number, now): count a client that has connected; whether it may go on."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject gate_type = {
    TYPE("Gate", gate, "Counts connections by all limits or by none.", 0),
    .tp_new = gate_new,
    .tp_dealloc = gate_dealloc,
    .tp_methods = gate_methods,
};
