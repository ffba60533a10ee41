/* The limits of a server by which attempts to log in are counted; see shm/attempts.py. */

#include "attempts.h"

static int take_rule(PyObject *argument, struct rule *rule)
{
    PyObject *limits;

    if (!PyTuple_Check(argument)) {
        return raised(PyExc_TypeError, "a rule is a tuple");
    }
    if (!PyArg_ParseTuple(argument, "O!iLLpppKK", &limits_type, &limits, &rule->number, &rule->burst, &rule->delay,
                          &rule->bans, &rule->counts_all, &rule->trusts, &rule->gain, &rule->period)) {
        return 0;
    }
    if (rule->gain == 0 || rule->number < KEY_GIVEN || rule->number > KEY_USER) {
        return raised(PyExc_ValueError, "a rule has no rate, or no such key");
    }
    rule->table = limits_table(limits);
    rule->dropped = rule->table->dropped;
    return 1;
}

static int take_rules(struct attempts *self, PyObject *rules)
{
    Py_ssize_t count = PyTuple_GET_SIZE(rules);

    self->rules = PyMem_Calloc((size_t) count + 1, sizeof(struct rule));
    if (self->rules == NULL) {
        return done(PyErr_NoMemory());
    }
    for (self->count = 0; self->count < count; self->count++) {
        if (!take_rule(PyTuple_GET_ITEM(rules, self->count), &self->rules[self->count])) {
            return 0;
        }
    }
    return 1;
}

static PyObject *attempts_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *rules, *lengths, *exempt, *penalties, *loop;
    struct attempts *self;
    Py_ssize_t penalised;

    if (!PyArg_ParseTuple(arguments, "O!OOnOO", &PyTuple_Type, &rules, &lengths, &exempt, &penalised, &penalties,
                          &loop) ||
        !take_exempt(exempt) || !is_loop(loop)) {
        return NULL;
    }
    if (penalised < NONE || penalised >= PyTuple_GET_SIZE(rules)) {
        return PyErr_Format(PyExc_ValueError, "no such rule");
    }
    self = (struct attempts *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->given = Py_NewRef(rules);
        self->penalised = penalised;
        self->penalties = Py_NewRef(penalties);
        self->loop = (struct loop *) Py_NewRef(loop);
        self->exempt = Py_NewRef(exempt);
        self->kind = take_kind((PyObject *) type, &attempt_type);
        if (self->kind == NULL || !take_lengths(lengths, self->lengths) || !take_rules(self, rules)) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static void drop_rules(struct attempts *self)
{
    PyMem_Free(self->rules);
    self->rules = NULL;
    self->count = 0;
}

/* The collector may drop the rules: an attempt, which it does not track, would have kept this object from it. */
#define REFERENCES(REF) REF(given) REF(penalties) REF(loop) REF(exempt) REF(kind)
COLLECTED_AFTER(attempts, REFERENCES, drop_rules(self))

/* Bans. */

/* The place of the rule that bans, with the milliseconds left; or the number of rules, or NONE with an exception. */
static Py_ssize_t banning(const struct attempts *self, PyObject *text, PyObject *given, double seconds, uint64_t *left)
{
    struct client client;
    uint64_t now = limit_milliseconds(seconds);
    Py_ssize_t place, next = 0;

    if (!client_read(text, &client)) {
        return NONE;
    }
    for (place = 0; place < self->count; place++) {
        const struct rule *rule = &self->rules[place];
        unsigned char room[ADDRESS_SIZE];
        struct key text_of_key = {"", 0};
        struct limit_key key;

        if (rule->number == KEY_GIVEN) {
            if (!take_given(given, &next, &text_of_key)) {
                return NONE;
            }
        } else if (rule->bans && rule->number != KEY_USER) {
            text_of_key = client_key(&client, rule->number, NULL, self->lengths, room);
        }
        if (rule->bans && text_of_key.length != 0) {
            limit_make_key(rule->table, text_of_key.text, text_of_key.length, &key);
            *left = limit_ban_of(&key, now);
            if (*left != 0) {
                return is_exempt(self->exempt, &client) ? self->count : place;
            }
        }
    }
    return self->count;
}

int attempts_pass(PyObject *object, PyObject *client, double now)
{
    const struct attempts *self = (struct attempts *) object;
    uint64_t left;
    Py_ssize_t place = banning(self, client, NULL, now, &left);

    return place < 0 ? -1 : place == self->count;
}

int attempts_keys(PyObject *const *arguments, Py_ssize_t given, Py_ssize_t least, PyObject **keys)
{
    *keys = given > least ? arguments[least] : NULL;
    if (given < least || given > least + 1 || (*keys != NULL && !PyTuple_Check(*keys))) {
        return raised(PyExc_TypeError, "a client, what it is counted by, the time, and a tuple of keys");
    }
    return 1;
}

static PyObject *banned(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    const struct attempts *self = (struct attempts *) object;
    PyObject *keys;
    Py_ssize_t place;
    uint64_t left = 0;
    double now;

    if (!attempts_keys(arguments, given, 2, &keys) || !take_real(arguments[1], &now)) {
        return NULL;
    }
    place = banning(self, arguments[0], keys, now, &left);
    if (place < 0) {
        return NULL;
    }
    return place == self->count ? Py_NewRef(Py_None) : Py_BuildValue("nd", place, (double) left / MILLISECONDS);
}

static PyMemberDef attempts_members[] = {
    {"_rules", T_OBJECT_EX, offsetof(struct attempts, given), READONLY, NULL},
    {"_penalised", T_PYSSIZET, offsetof(struct attempts, penalised), READONLY, NULL},
    {"_penalties", T_OBJECT_EX, offsetof(struct attempts, penalties), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef attempts_methods[] = {
    {"enter", FAST(attempts_enter),
     "enter(client, login, keys=()): count an attempt; None for a client that is exempt."},
    {"banned", FAST(banned),
     "banned(client, now, keys=()): the rule that bans the client and the seconds of the ban, or None."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject attempts_type = {
    COLLECTED_TYPE("Attempts", attempts, "The attempts to log in at one server.", Py_TPFLAGS_BASETYPE),
    .tp_new = attempts_new,
    .tp_members = attempts_members,
    .tp_methods = attempts_methods,
};
