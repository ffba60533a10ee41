/*
 * Attempts to log in, as the limits of a server count them; see shm/attempts.py. The keys of an attempt are hashed
 * once, and most logins make no other object than the attempt.
 */

#include "client.h"
#include "limit_table.h"

#define NONE (-1)
#define REQUEST 1000
#define MILLISECONDS 1000.0
#define FAMILIES 2
#define ADDRESS_SIZE 16

struct rule {
    PyObject *limits;
    struct limit_table *table;
    int number; /* of its key */
    int bans, counts_all, trusts;
    long long burst, delay;
    unsigned long long gain, period;
    uint64_t dropped; /* the table's count when it was last read */
};

/* A network, which is sorted and found as bytes. */
struct network {
    unsigned char family, bits, address[ADDRESS_SIZE];
};

struct exempt {
    struct network *networks; /* in order */
    size_t count;
    unsigned char bits[FAMILIES][8 * ADDRESS_SIZE + 1]; /* the prefix lengths that occur */
    size_t used[FAMILIES];                              /* how many these are */
    int is_unix;
};

struct attempts {
    PyObject_HEAD
    struct rule *rules;
    Py_ssize_t count;
    Py_ssize_t penalised;
    PyObject *penalties;
    PyObject *clock; /* the loop, or another object with the time as `now` */
    int lengths[2];
    struct exempt exempt;
};

/* A key by which an attempt is counted. */
struct mine {
    struct limit_key key; /* of length 0: it is not counted */
    unsigned char room[ADDRESS_SIZE];
    int taken;
};

struct attempt {
    PyObject_VAR_HEAD struct attempts *all;
    PyObject *text, *user, *given; /* the keys point into these, `text` is the client's address */
    struct client client;
    double asked, wait;
    Py_ssize_t over, full;
    long long excess;
    long level; /* of the penalty, before the attempt has waited */
    int plain;  /* there is nothing to wait for, and nothing to log */
    struct mine mine[];
};

/* Rules and networks. */

static int take_rule(PyObject *argument, struct rule *rule)
{
    PyObject *limits;

    if (!PyTuple_Check(argument) ||
        !PyArg_ParseTuple(argument, "O!iLLpppKK", &limits_type, &limits, &rule->number, &rule->burst, &rule->delay,
                          &rule->bans, &rule->counts_all, &rule->trusts, &rule->gain, &rule->period)) {
        return PyErr_Occurred() ? 0 : (PyErr_SetString(PyExc_TypeError, "a rule is a tuple"), 0);
    }
    if (rule->gain == 0 || rule->number < KEY_GIVEN || rule->number > KEY_USER) {
        PyErr_SetString(PyExc_ValueError, "a rule has no rate, or no such key");
        return 0;
    }
    rule->limits = Py_NewRef(limits);
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

static unsigned char family_of(size_t size)
{
    return size == ADDRESS_SIZE;
}

static int take_network(struct exempt *exempt, PyObject *argument)
{
    struct network *network = &exempt->networks[exempt->count];
    const char *packed;
    Py_ssize_t size;
    int bits;

    if (!PyTuple_Check(argument) || !PyArg_ParseTuple(argument, "y#i", &packed, &size, &bits)) {
        return PyErr_Occurred() ? 0 : (PyErr_SetString(PyExc_TypeError, "a network is a tuple"), 0);
    }
    if ((size != 0 && size != 4 && size != ADDRESS_SIZE) || bits < 0 || bits > 8 * size) {
        PyErr_SetString(PyExc_ValueError, "no such network");
        return 0;
    }
    if (size == 0) {
        exempt->is_unix = 1;
        return 1;
    }
    network->family = family_of((size_t) size);
    network->bits = (unsigned char) bits;
    memcpy(network->address, packed, (size_t) size);
    exempt->count++;
    return 1;
}

static int compare(const void *one, const void *other)
{
    return memcmp(one, other, sizeof(struct network));
}

static int take_exempt(struct exempt *exempt, PyObject *networks)
{
    Py_ssize_t i;
    size_t place;

    exempt->networks = PyMem_Calloc((size_t) PyTuple_GET_SIZE(networks) + 1, sizeof(struct network));
    if (exempt->networks == NULL) {
        return done(PyErr_NoMemory());
    }
    for (i = 0; i < PyTuple_GET_SIZE(networks); i++) {
        if (!take_network(exempt, PyTuple_GET_ITEM(networks, i))) {
            return 0;
        }
    }
    qsort(exempt->networks, exempt->count, sizeof(struct network), compare);
    for (place = 0; place < exempt->count; place++) {
        const struct network *network = &exempt->networks[place];
        unsigned char *bits = exempt->bits[network->family];
        size_t *used = &exempt->used[network->family];

        if (*used == 0 || bits[*used - 1] != network->bits) {
            bits[(*used)++] = network->bits;
        }
    }
    return 1;
}

static int is_exempt(const struct exempt *exempt, const struct client *client)
{
    struct client whole = *client;
    struct network wanted;
    size_t i;

    if (client->is_unix) {
        return exempt->is_unix;
    }
    client_unmap(&whole);
    wanted.family = family_of(whole.size);
    for (i = 0; i < exempt->used[wanted.family]; i++) {
        struct client cut = whole;
        const int lengths[2] = {exempt->bits[wanted.family][i], exempt->bits[wanted.family][i]};

        (void) client_cut(&cut, lengths);
        wanted.bits = exempt->bits[wanted.family][i];
        memset(wanted.address, 0, ADDRESS_SIZE);
        memcpy(wanted.address, cut.address, cut.size);
        if (bsearch(&wanted, exempt->networks, exempt->count, sizeof(struct network), compare) != NULL) {
            return 1;
        }
    }
    return 0;
}

static void drop_rules(struct attempts *self)
{
    while (self->count > 0) {
        Py_DECREF(self->rules[--self->count].limits);
    }
    PyMem_Free(self->rules);
    PyMem_Free(self->exempt.networks);
    self->rules = NULL;
    memset(&self->exempt, 0, sizeof(self->exempt));
}

static PyObject *attempts_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *rules, *lengths, *exempt, *penalties, *clock;
    struct attempts *self;
    Py_ssize_t penalised;

    if (!PyArg_ParseTuple(arguments, "O!OO!nOO", &PyTuple_Type, &rules, &lengths, &PyTuple_Type, &exempt, &penalised,
                          &penalties, &clock)) {
        return NULL;
    }
    if (penalised < NONE || penalised >= PyTuple_GET_SIZE(rules)) {
        return PyErr_Format(PyExc_ValueError, "no such rule");
    }
    self = (struct attempts *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->penalised = penalised;
        self->penalties = Py_NewRef(penalties);
        self->clock = Py_NewRef(clock);
        if (!take_lengths(lengths, self->lengths) || !take_rules(self, rules) || !take_exempt(&self->exempt, exempt)) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

/* The collector may drop the rules: an attempt, which it does not track, would have kept this object from it. */
#define REFERENCES(REF) REF(penalties) REF(clock)
COLLECTED_BEHIND(attempts, REFERENCES, drop_rules(self))

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
            limit_key(rule->table, text_of_key.text, text_of_key.length, &key);
            *left = limit_ban_of(&key, now);
            if (*left != 0) {
                return is_exempt(&self->exempt, &client) ? self->count : place;
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

/* The time in seconds; 0 with an exception. */
static int ask_clock(const struct attempts *self, double *now)
{
    PyObject *time;
    int taken;

    if (PyObject_TypeCheck(self->clock, &loop_type)) {
        *now = ((struct loop *) self->clock)->now;
        return 1;
    }
    time = PyObject_GetAttrString(self->clock, "now");
    taken = time != NULL && take_real(time, now);
    Py_XDECREF(time);
    return taken;
}

static PyObject *passes(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    double now;
    int passing;

    if (!counted(given, 3) || !take_real(arguments[2], &now)) {
        return NULL;
    }
    passing = attempts_pass(object, arguments[0], now);
    return passing < 0 ? NULL : PyBool_FromLong(passing);
}

/* Takes the optional argument with given keys. */
static int take_keys(PyObject *const *arguments, Py_ssize_t given, Py_ssize_t least, PyObject **keys)
{
    *keys = given > least ? arguments[least] : NULL;
    if (given < least || given > least + 1 || (*keys != NULL && !PyTuple_Check(*keys))) {
        PyErr_SetString(PyExc_TypeError, "a client, what it is counted by, the time, and a tuple of keys");
        return 0;
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

    if (!take_keys(arguments, given, 2, &keys) || !take_real(arguments[1], &now)) {
        return NULL;
    }
    place = banning(self, arguments[0], keys, now, &left);
    if (place < 0) {
        return NULL;
    }
    return place == self->count ? Py_NewRef(Py_None) : Py_BuildValue("nd", place, (double) left / MILLISECONDS);
}

/* An attempt. */

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
        struct mine *mine = &self->mine[place];
        struct key key;

        if (rule->number != KEY_GIVEN) {
            key = client_key(&self->client, rule->number, self->user, all->lengths, mine->room);
        } else if (!take_given(self->given, &next, &key)) {
            return 0;
        }
        if (key.length != 0) {
            limit_key(rule->table, key.text, key.length, &mine->key);
        }
    }
    return 1;
}

static unsigned char *put(unsigned char *at, const void *text, size_t length)
{
    memcpy(at, text, length);
    at[length] = 0;
    return at + length + 1;
}

/*
 * The key of the entry for trust, which says that this user has logged in: after the rule's key the user, if that is
 * not the key, and the client's network. The caller frees its text.
 */
static int find_trust(const struct attempt *self, Py_ssize_t place, struct limit_key *key, unsigned char **text)
{
    static const int lengths[2] = {32, 64};
    const struct limit_key *by = &self->mine[place].key;
    const size_t user = (size_t) PyBytes_GET_SIZE(self->user);
    unsigned char room[ADDRESS_SIZE], *end;
    struct key network;

    *text = PyMem_Malloc(by->length + user + ADDRESS_SIZE + 4);
    if (*text == NULL) {
        return done(PyErr_NoMemory());
    }
    network = client_key(&self->client, KEY_PREFIX, NULL, lengths, room);
    end = put(put(*text, "", 0), by->text, by->length);
    if (self->all->rules[place].number != KEY_USER) {
        end = put(end, PyBytes_AS_STRING(self->user), user);
    }
    end = put(end, network.text, network.length) - 1;
    limit_key(self->all->rules[place].table, *text, (size_t) (end - *text), key);
    return 1;
}

/* What begins with the rule's key, and ends there, is the key of the entry that ends all trust in clients which logged in before. */
static int is_trusted(const struct attempt *self, Py_ssize_t place, uint64_t now, int *trusted)
{
    struct limit_key key;
    struct limit_penalty found, end;
    unsigned char *text;

    if (!find_trust(self, place, &key, &text)) {
        return 0;
    }
    found = limit_penalty_of(&key, now);
    *trusted = found.level > 0 && found.age < LIMIT_TRUSTED;
    if (*trusted) {
        limit_key(self->all->rules[place].table, text, self->mine[place].key.length + 2, &key);
        end = limit_penalty_of(&key, now);
        *trusted = end.level == 0 || end.age > found.age;
    }
    PyMem_Free(text);
    return 1;
}

static int is_banned(const struct attempt *self, Py_ssize_t place, uint64_t now)
{
    return self->all->rules[place].bans && limit_ban_of(&self->mine[place].key, now) != 0;
}

static int set_trust(const struct attempt *self, Py_ssize_t place, uint64_t now)
{
    struct limit_key key;
    unsigned char *text;

    if (!find_trust(self, place, &key, &text)) {
        return 0;
    }
    limit_punish(self->all->rules[place].table, &key, 1, now);
    PyMem_Free(text);
    return 1;
}

static int64_t take(struct attempt *self, Py_ssize_t place, uint64_t now)
{
    struct rule *rule = &self->all->rules[place];
    struct mine *mine = &self->mine[place];
    int64_t excess;

    if (is_banned(self, place, now)) {
        return -1 - rule->burst - REQUEST;
    }
    excess = limit_take(rule->table, &mine->key, now, (uint64_t) rule->burst);
    mine->taken = excess >= 0;
    if (rule->table->dropped != rule->dropped) {
        rule->dropped = rule->table->dropped;
        self->full = place;
    }
    return excess;
}

/* Seconds by which an attempt is delayed; where only failures count, only those before it decide. */
static double delay_of(const struct rule *rule, int64_t excess)
{
    int64_t above = excess - rule->delay - (rule->counts_all ? 0 : REQUEST);

    return rule->delay == NONE || above <= 0 ? 0.0
                                             : (double) ((uint64_t) above * rule->period / rule->gain) / MILLISECONDS;
}

static void drop_all(struct attempt *self)
{
    Py_ssize_t place;

    for (place = 0; place < self->all->count; place++) {
        const struct rule *rule = &self->all->rules[place];

        if (self->mine[place].taken && !rule->counts_all) {
            limit_give_back(rule->table, &self->mine[place].key);
        } else if (self->mine[place].taken) {
            limit_settle(&self->mine[place].key);
        }
        self->mine[place].taken = 0;
    }
}

/* The level in a result of the penalties' methods; -1 with an exception. */
static long level_from(PyObject *result)
{
    long level = result == NULL ? -1 : PyLong_AsLong(result);

    Py_XDECREF(result);
    return level;
}

/* The present level of the penalty; -1 with an exception. */
static long level_now(const struct attempt *self, uint64_t now)
{
    const struct attempts *all = self->all;
    struct limit_penalty found;

    if (all->penalised == NONE || all->penalties == Py_None || self->mine[all->penalised].key.length == 0) {
        return 0;
    }
    found = limit_penalty_of(&self->mine[all->penalised].key, now);
    return found.level == 0
               ? 0
               : level_from(PyObject_CallMethod(all->penalties, "level", "Kd", (unsigned long long) found.level,
                                                (double) found.age / MILLISECONDS));
}

/* Seconds for which the penalty makes the attempt wait; less than 0 with an exception. */
static double penalty_of(struct attempt *self, uint64_t now)
{
    PyObject *seconds;
    double wait;

    self->level = level_now(self, now);
    if (self->level <= 0) {
        return self->level == 0 ? 0.0 : -1.0;
    }
    seconds = PyObject_CallMethod(self->all->penalties, "seconds", "l", self->level);
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

    if (rule->burst == NONE || self->mine[place].key.length == 0) {
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
        drop_all(self);
        self->over = place;
        self->excess = -1 - excess;
        self->wait = -1.0;
        return 0;
    }
    wait = delay_of(rule, excess);
    if (wait > self->wait) {
        self->over = place;
        self->excess = excess;
        self->wait = wait;
    }
    return 1;
}

static int try(struct attempt *self, double seconds)
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

    return take_real(argument, &now) && try(self, now) ? PyFloat_FromDouble(self->wait) : NULL;
}

static PyObject *enter(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct attempts *self = (struct attempts *) object;
    struct attempt *attempt;
    struct client client;
    PyObject *keys;
    double now;

    if (!take_keys(arguments, given, 2, &keys) || !ask_clock(self, &now) || !client_read(arguments[0], &client)) {
        return NULL;
    }
    if (!PyBytes_Check(arguments[1])) {
        return PyErr_Format(PyExc_TypeError, "a login is bytes");
    }
    if (is_exempt(&self->exempt, &client)) {
        return Py_NewRef(Py_None);
    }
    attempt = (struct attempt *) attempt_type.tp_alloc(&attempt_type, self->count);
    if (attempt == NULL) {
        return NULL;
    }
    attempt->all = (struct attempts *) Py_NewRef(self);
    attempt->text = Py_NewRef(arguments[0]);
    attempt->client = client;
    attempt->user = user_key(arguments[1]);
    attempt->given = Py_XNewRef(keys);
    if (attempt->user == NULL || !hash_keys(attempt) || !try(attempt, now)) {
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
    return PyBytes_FromStringAndSize((const char *) self->mine[place].key.text,
                                     (Py_ssize_t) self->mine[place].key.length);
}

static PyObject *may_settle(PyObject *object, PyObject *Py_UNUSED(none))
{
    const struct attempt *self = (struct attempt *) object;

    return PyBool_FromLong(self->over != NONE && !self->all->rules[self->over].counts_all &&
                           limit_pending(&self->mine[self->over].key) != 0);
}

static PyObject *keep(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct attempt *self = (struct attempt *) object;
    Py_ssize_t place;

    for (place = 0; place < self->all->count; place++) {
        if (self->mine[place].taken) {
            limit_settle(&self->mine[place].key);
        }
        self->mine[place].taken = 0;
    }
    return Py_NewRef(Py_None);
}

static PyObject *drop(PyObject *object, PyObject *Py_UNUSED(none))
{
    drop_all((struct attempt *) object);
    return Py_NewRef(Py_None);
}

static void forgive(const struct attempt *self, Py_ssize_t place, uint64_t now)
{
    const struct limit_key *key = &self->mine[place].key;

    if (key->length != 0 && limit_penalty_of(key, now).level != 0) {
        limit_punish(self->all->rules[place].table, key, 0, now);
    }
}

static PyObject *succeed(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct attempt *self = (struct attempt *) object;
    const struct attempts *all = self->all;
    Py_ssize_t place;
    uint64_t now;
    double seconds;

    if (!ask_clock(all, &seconds)) {
        return NULL;
    }
    now = limit_milliseconds(seconds);
    drop_all(self);
    for (place = 0; place < all->count; place++) {
        const struct rule *rule = &all->rules[place];

        if (rule->trusts && rule->burst != NONE && self->mine[place].key.length != 0 && !is_banned(self, place, now) &&
            !set_trust(self, place, now)) {
            return NULL;
        }
    }
    if (all->penalised != NONE) {
        forgive(self, all->penalised, now);
    }
    return Py_NewRef(Py_None);
}

/* Whether these credentials were tried with the key before; they are remembered from now on. */
static int repeats_at(const struct attempt *self, Py_ssize_t place, PyObject *what)
{
    return PyBytes_GET_SIZE(what) != 0 && limit_repeats(self->all->rules[place].table, &self->mine[place].key,
                                                        PyBytes_AS_STRING(what), (size_t) PyBytes_GET_SIZE(what));
}

/* `asked`: it is already known that `what` is no repetition. */
static int punish(struct attempt *self, PyObject *what, uint64_t now, int asked)
{
    const struct attempts *all = self->all;
    Py_ssize_t place = all->penalised;
    long level;

    if (place == NONE || all->penalties == Py_None || self->mine[place].key.length == 0) {
        return 1;
    }
    if (!asked && repeats_at(self, place, what)) {
        return 1;
    }
    level = level_now(self, now);
    if (level >= 0) {
        level =
            level_from(PyObject_CallMethod(all->penalties, "raised", "l", level > self->level ? level : self->level));
    }
    if (level < 0) {
        return 0;
    }
    limit_punish(all->rules[place].table, &self->mine[place].key, (uint64_t) level, now);
    if (!asked) {
        (void) repeats_at(self, place, what); /* once more, as the entry may not have existed before */
    }
    return 1;
}

static PyObject *fail(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    struct attempt *self = (struct attempt *) object;
    int asked = 0, repeated = 0;
    Py_ssize_t place;
    double now;

    if (!counted(given, 2) || !take_real(arguments[1], &now)) {
        return NULL;
    }
    if (!PyBytes_Check(arguments[0])) {
        return PyErr_Format(PyExc_TypeError, "what a client has said is bytes");
    }
    for (place = 0; place < self->all->count; place++) {
        const struct rule *rule = &self->all->rules[place];
        int again = self->mine[place].taken && repeats_at(self, place, arguments[0]);

        if (again && !rule->counts_all) {
            limit_give_back(rule->table, &self->mine[place].key);
        } else if (self->mine[place].taken) {
            limit_settle(&self->mine[place].key);
        }
        if (place == self->all->penalised) {
            asked = self->mine[place].taken;
            repeated = again;
        }
        self->mine[place].taken = 0;
    }
    return none_if(repeated || punish(self, arguments[0], limit_milliseconds(now), asked));
}

static int is_plain(PyObject *object)
{
    return ((struct attempt *) object)->plain;
}

static PyNumberMethods attempt_number = {.nb_bool = is_plain};

static PyMemberDef attempt_members[] = {
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
    {"may_settle", may_settle, METH_NOARGS,
     "may_settle(): whether attempts under way may keep this one out and not count in the end."},
    {"keep", keep, METH_NOARGS, "keep(): the attempt has ended without a decision, and counts."},
    {"drop", drop, METH_NOARGS, "drop(): take the attempt back; limits that count all attempts keep it."},
    {"succeed", succeed, METH_NOARGS,
     "succeed(): the login has succeeded: take the attempt back and trust the client from now on."},
    {"fail", FAST(fail),
     "fail(what, now): the login has failed; credentials `what` that were tried before do not count again."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject attempt_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._core.Attempt",
    .tp_doc = "One attempt to log in, from the limits to its outcome.",
    .tp_basicsize = offsetof(struct attempt, mine),
    .tp_itemsize = sizeof(struct mine),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = attempt_dealloc,
    .tp_as_number = &attempt_number,
    .tp_members = attempt_members,
    .tp_methods = attempt_methods,
};

static PyMethodDef attempts_methods[] = {
    {"enter", FAST(enter), "enter(client, login, keys=()): count an attempt; None for a client that is exempt."},
    {"banned", FAST(banned),
     "banned(client, now, keys=()): the rule that bans the client and the seconds of the ban, or None."},
    {"passes", FAST(passes), "passes(client, number, now): whether no rule bans the client."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject attempts_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._core.Attempts",
    .tp_doc = "The attempts to log in at one server.",
    .tp_basicsize = sizeof(struct attempts),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = attempts_traverse,
    .tp_clear = attempts_clear,
    .tp_new = attempts_new,
    .tp_dealloc = attempts_dealloc,
    .tp_methods = attempts_methods,
};
