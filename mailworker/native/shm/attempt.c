/*
 * An attempt to log in, as the limits of a server count it; see shm/attempts.py. Its keys are hashed once, and most
 * logins make no other object than the attempt.
 */

#include "attempts.h"

static void attempt_dealloc(PyObject *object)
{
    struct attempt *self = (struct attempt *) object;

    Py_XDECREF(self->all);
    Py_XDECREF(self->text);
    Py_XDECREF(self->user);
    Py_XDECREF(self->given);
    Py_TYPE(object)->tp_free(object);
}

static int hash_keys(struct attempt *self)
{
    const struct attempts *all = self->all;
    Py_ssize_t place, next = 0;

    for (place = 0; place < all->count; place++) {
        const struct rule *rule = &all->rules[place];
        struct counted_key *counted = &self->keys[place];
        struct key key;

        if (rule->number != KEY_GIVEN) {
            key = client_key(&self->client, rule->number, self->user, all->lengths, counted->room);
        } else if (!take_given(self->given, &next, &key)) {
            return 0;
        }
        if (key.length != 0) {
            limit_make_key(rule->table, key.text, key.length, &counted->key);
        }
    }
    return 1;
}

static int is_banned(const struct attempt *self, Py_ssize_t place, uint64_t now)
{
    return self->all->rules[place].bans && limit_ban_of(&self->keys[place].key, now) != 0;
}

static int64_t take(struct attempt *self, Py_ssize_t place, uint64_t now)
{
    struct rule *rule = &self->all->rules[place];
    struct counted_key *counted = &self->keys[place];
    int64_t excess;

    if (is_banned(self, place, now)) {
        return -1 - rule->burst - REQUEST;
    }
    excess = limit_take(rule->table, &counted->key, now, (uint64_t) rule->burst);
    counted->taken = excess >= 0;
    if (rule->table->dropped != rule->dropped) {
        rule->dropped = rule->table->dropped;
        self->full = place;
    }
    return excess;
}

/* Seconds by which an attempt is delayed; where only failures count, only those before it decide. */
static double wait_of(const struct rule *rule, int64_t excess)
{
    int64_t above = excess - rule->delay - (rule->counts_all ? 0 : REQUEST);

    return rule->delay == NONE || above <= 0 ? 0.0
                                             : (double) ((uint64_t) above * rule->period / rule->gain) / MILLISECONDS;
}

/* Settles the attempt by a rule that has taken it, or gives it back. */
static void release(struct attempt *self, Py_ssize_t place, int counts)
{
    struct counted_key *counted = &self->keys[place];

    if (counted->taken && counts) {
        limit_settle(&counted->key);
    } else if (counted->taken) {
        limit_give_back(self->all->rules[place].table, &counted->key);
    }
    counted->taken = 0;
}

/* The same for all rules; those that count all attempts settle it anyway. */
static void release_all(struct attempt *self, int counts)
{
    Py_ssize_t place;

    for (place = 0; place < self->all->count; place++) {
        release(self, place, counts || self->all->rules[place].counts_all);
    }
}

/* The level of the penalty in the table, 0 for none. */
static uint64_t level_of(const struct attempt *self, uint64_t now)
{
    const struct limit_key *key = self->all->penalised == NONE ? NULL : &self->keys[self->all->penalised].key;

    return key == NULL || key->length == 0 ? 0 : limit_penalty_of(key, now).level;
}

/* Seconds for which the penalty of earlier failures makes the attempt wait; less than 0 with an exception. */
static double penalty_of(struct attempt *self, uint64_t now)
{
    PyObject *seconds;
    double wait;

    self->level = 0;
    if (level_of(self, now) == 0) {
        return 0.0;
    }
    seconds = PyObject_CallMethod((PyObject *) self, "_penalty", "d", self->asked);
    wait = seconds == NULL ? -1.0 : PyFloat_AsDouble(seconds);
    Py_XDECREF(seconds);
    return wait;
}

/* Counts the attempt by one rule; 0 where it refuses, -1 with an exception. */
static int pass_rule(struct attempt *self, Py_ssize_t place, uint64_t now)
{
    const struct rule *rule = &self->all->rules[place];
    int trusted = 0;
    int64_t excess;
    double wait;

    if (rule->burst == NONE || self->keys[place].key.length == 0) {
        return 1;
    }
    if (rule->trusts && !is_trusted(self, place, now, &trusted)) {
        return -1;
    }
    if (trusted) {
        return 1;
    }
    excess = take(self, place, now);
    if (excess < 0) {
        release_all(self, 0);
        self->over = place;
        self->excess = -1 - excess;
        self->wait = -1.0;
        return 0;
    }
    wait = wait_of(rule, excess);
    if (wait > self->wait) {
        self->over = place;
        self->excess = excess;
        self->wait = wait;
    }
    return 1;
}

static int enter(struct attempt *self, double seconds)
{
    uint64_t now = limit_milliseconds(seconds);
    Py_ssize_t place;
    double wait;
    int passed;

    self->asked = seconds;
    self->wait = 0.0;
    self->over = self->full = NONE;
    self->excess = 0;
    self->plain = 0;
    for (place = 0; place < self->all->count; place++) {
        passed = pass_rule(self, place, now);
        if (passed != 1) {
            return passed == 0;
        }
    }
    wait = penalty_of(self, now);
    if (wait < 0.0) {
        return 0;
    }
    if (wait > self->wait) {
        self->over = NONE;
        self->wait = wait;
    }
    self->plain = self->wait == 0.0 && self->full == NONE;
    return 1;
}

static PyObject *enter_again(PyObject *object, PyObject *argument)
{
    struct attempt *self = (struct attempt *) object;
    double now;

    return take_real(argument, &now) && enter(self, now) ? PyFloat_FromDouble(self->wait) : NULL;
}

PyObject *attempts_enter(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct attempts *self = (struct attempts *) object;
    struct attempt *attempt;
    struct client client;
    PyObject *keys;

    if (!attempts_keys(arguments, given, 2, &keys) || !client_read(arguments[0], &client) || !is_bytes(arguments[1])) {
        return NULL;
    }
    if (is_exempt(self->exempt, &client)) {
        return Py_NewRef(Py_None);
    }
    attempt = (struct attempt *) self->kind->tp_alloc(self->kind, self->count);
    if (attempt == NULL) {
        return NULL;
    }
    attempt->all = (struct attempts *) Py_NewRef(self);
    attempt->text = Py_NewRef(arguments[0]);
    attempt->client = client;
    attempt->user = user_key(arguments[1]);
    attempt->given = Py_XNewRef(keys);
    if (attempt->user == NULL || !hash_keys(attempt) || !enter(attempt, self->loop->now)) {
        Py_CLEAR(attempt);
    }
    return (PyObject *) attempt;
}

static int take_place(const struct attempt *self, PyObject *argument, Py_ssize_t *place)
{
    *place = PyLong_AsSsize_t(argument);
    if (*place >= 0 && *place < self->all->count) {
        return 1;
    }
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_IndexError, "no such rule");
    }
    return 0;
}

static PyObject *key_at(PyObject *object, PyObject *argument)
{
    const struct attempt *self = (struct attempt *) object;
    Py_ssize_t place;

    if (!take_place(self, argument, &place)) {
        return NULL;
    }
    return PyBytes_FromStringAndSize((const char *) self->keys[place].key.text,
                                     (Py_ssize_t) self->keys[place].key.length);
}

static PyObject *is_taken(PyObject *object, PyObject *argument)
{
    const struct attempt *self = (struct attempt *) object;
    Py_ssize_t place;

    return take_place(self, argument, &place) ? PyBool_FromLong(self->keys[place].taken) : NULL;
}

static PyObject *release_one(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct attempt *self = (struct attempt *) object;
    Py_ssize_t place;

    if (!counted(given, 2) || !take_place(self, arguments[0], &place)) {
        return NULL;
    }
    release(self, place, arguments[1] == Py_True);
    return Py_NewRef(Py_None);
}

static PyObject *succeed(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct attempt *self = (struct attempt *) object;
    const struct attempts *all = self->all;
    Py_ssize_t place;
    uint64_t now = limit_milliseconds(all->loop->now);

    release_all(self, 0);
    for (place = 0; place < all->count; place++) {
        const struct rule *rule = &all->rules[place];

        if (rule->trusts && rule->burst != NONE && self->keys[place].key.length != 0 && !is_banned(self, place, now) &&
            !set_trust(self, place, now)) {
            return NULL;
        }
    }
    if (level_of(self, now) != 0) {
        limit_punish(all->rules[all->penalised].table, &self->keys[all->penalised].key, 0, now);
    }
    return Py_NewRef(Py_None);
}

static int is_plain(PyObject *object)
{
    return ((struct attempt *) object)->plain;
}

static PyNumberMethods attempt_number = {.nb_bool = is_plain};

static PyMemberDef attempt_members[] = {
    {"_all", T_OBJECT_EX, offsetof(struct attempt, all), READONLY, NULL},
    {"_level", T_LONG, offsetof(struct attempt, level), 0, NULL},
    {"asked", T_DOUBLE, offsetof(struct attempt, asked), 0, NULL},
    {"wait", T_DOUBLE, offsetof(struct attempt, wait), READONLY, NULL},
    {"over", T_PYSSIZET, offsetof(struct attempt, over), READONLY, NULL},
    {"full", T_PYSSIZET, offsetof(struct attempt, full), READONLY, NULL},
    {"excess", T_LONGLONG, offsetof(struct attempt, excess), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef attempt_methods[] = {
    {"enter", enter_again, METH_O,
     "enter(now): count the attempt, again where it was refused before; gives the seconds to wait."},
    {"key", key_at, METH_O, "key(place): the key of the rule at this place."},
    {"_is_taken", is_taken, METH_O, "_is_taken(place): whether the rule at this place has taken the attempt."},
    {"_release", FAST(release_one), "_release(place, counts): count the attempt there for good, or uncount it."},
    {"succeed", succeed, METH_NOARGS,
     "succeed(): the login has succeeded: take the attempt back and trust the client from now on."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject attempt_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._core.Attempt",
    .tp_doc = "One attempt to log in, from the limits to its outcome.",
    .tp_basicsize = offsetof(struct attempt, keys),
    .tp_itemsize = sizeof(struct counted_key),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = attempt_dealloc,
    .tp_as_number = &attempt_number,
    .tp_members = attempt_members,
    .tp_methods = attempt_methods,
};
