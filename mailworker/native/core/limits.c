/* Requests, failures and bans by key, which all workers count; see shm/limit_table.py. */

#include "core.h"
#include "limit_table.h"

struct limits {
    PyObject_HEAD
    Py_buffer memory; /* its obj is NULL until there is one */
    struct limit_table table;
};

static int take_seconds(PyObject *argument, uint64_t *milliseconds)
{
    double seconds;

    if (!take_real(argument, &seconds)) {
        return 0;
    }
    *milliseconds = limit_milliseconds(seconds);
    return 1;
}

static int take_key(const struct limits *self, PyObject *argument, struct limit_key *key)
{
    if (!is_bytes(argument)) {
        return 0;
    }
    limit_make_key(&self->table, PyBytes_AS_STRING(argument), (size_t) PyBytes_GET_SIZE(argument), key);
    return 1;
}

/* Takes the arguments of most methods: a key and the time. */
static int take_two(const struct limits *self, PyObject *const *arguments, Py_ssize_t count, Py_ssize_t wanted,
                    struct limit_key *key, uint64_t *now)
{
    return counted(count, wanted) && take_key(self, arguments[0], key) && take_seconds(arguments[1], now);
}

static int take_secret(struct limit_table *table, PyObject *secret)
{
    if (!is_bytes(secret) || PyBytes_GET_SIZE(secret) != sizeof(table->secret)) {
        return raised(PyExc_ValueError, "a secret has 32 bytes");
    }
    memcpy(table->secret, PyBytes_AS_STRING(secret), sizeof(table->secret));
    return 1;
}

struct limit_table *limits_table(PyObject *object)
{
    return &((struct limits *) object)->table;
}

/* The number of sets in a memory of `bytes`. */
static size_t sets_in(Py_ssize_t bytes)
{
    return ((size_t) bytes - sizeof(struct limit_header)) / sizeof(struct limit_set);
}

static int take_memory(struct limits *self, PyObject *memory)
{
    struct limit_table *table = &self->table;

    if (PyObject_GetBuffer(memory, &self->memory, PyBUF_WRITABLE) < 0) {
        return 0;
    }
    if (self->memory.len < (Py_ssize_t) (sizeof(struct limit_header) + 2 * sizeof(struct limit_set)) ||
        (uintptr_t) self->memory.buf % sizeof(uint64_t) != 0) {
        return raised(PyExc_ValueError, "no memory that will do");
    }
    table->header = self->memory.buf;
    table->sets = (struct limit_set *) (table->header + 1);
    table->size = sets_in(self->memory.len);
    return 1;
}

static PyObject *limits_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    unsigned long long gain, period;
    PyObject *memory, *secret;
    struct limits *self;

    if (!PyArg_ParseTuple(arguments, "OO(KK)", &memory, &secret, &gain, &period)) {
        return NULL;
    }
    if (gain == 0 || period == 0) {
        return PyErr_Format(PyExc_ValueError, "no rate");
    }
    self = (struct limits *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->table.gain = gain;
        self->table.period = period;
        if (!take_secret(&self->table, secret) || !take_memory(self, memory)) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static void limits_dealloc(PyObject *object)
{
    PyBuffer_Release(&((struct limits *) object)->memory);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *take(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct limits *self = (struct limits *) object;
    struct limit_key key;
    uint64_t now, burst;

    if (!take_two(self, arguments, count, 3, &key, &now)) {
        return NULL;
    }
    burst = PyLong_AsUnsignedLongLong(arguments[2]);
    if (burst == UINT64_MAX && PyErr_Occurred()) {
        return NULL;
    }
    return PyLong_FromLongLong(limit_take(&self->table, &key, now, burst));
}

static PyObject *give_back(PyObject *object, PyObject *argument)
{
    const struct limits *self = (struct limits *) object;
    struct limit_key key;

    if (!take_key(self, argument, &key)) {
        return NULL;
    }
    limit_give_back(&self->table, &key);
    return Py_NewRef(Py_None);
}

static PyObject *settle(PyObject *object, PyObject *argument)
{
    struct limit_key key;

    if (!take_key((struct limits *) object, argument, &key)) {
        return NULL;
    }
    limit_settle(&key);
    return Py_NewRef(Py_None);
}

static PyObject *pending(PyObject *object, PyObject *argument)
{
    struct limit_key key;

    if (!take_key((struct limits *) object, argument, &key)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(limit_pending(&key));
}

static PyObject *repeats(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct limits *self = (struct limits *) object;
    struct limit_key key;

    if (!counted(count, 2) || !take_key(self, arguments[0], &key) || !is_bytes(arguments[1])) {
        return NULL;
    }
    return PyBool_FromLong(
        limit_repeats(&self->table, &key, PyBytes_AS_STRING(arguments[1]), (size_t) PyBytes_GET_SIZE(arguments[1])));
}

static PyObject *ban(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct limits *self = (struct limits *) object;
    struct limit_key key;
    uint64_t now, time, tag;
    struct limit_entry *entry;

    if (!take_two(self, arguments, count, 3, &key, &now) || !take_seconds(arguments[2], &time)) {
        return NULL;
    }
    entry = time == 0 ? limit_find(&key, &tag) : limit_make_entry(&self->table, &key, now, &tag);
    return PyBool_FromLong(entry != NULL && limit_set_ban(entry, tag, time == 0 ? 0 : now + time));
}

static PyObject *banned(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct limit_key key;
    uint64_t now;

    if (!take_two((struct limits *) object, arguments, count, 2, &key, &now)) {
        return NULL;
    }
    return PyFloat_FromDouble((double) limit_ban_of(&key, now) / MILLISECONDS);
}

static PyObject *penalty(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct limit_key key;
    struct limit_penalty found;
    uint64_t now;

    if (!take_two((struct limits *) object, arguments, count, 2, &key, &now)) {
        return NULL;
    }
    found = limit_penalty_of(&key, now);
    return Py_BuildValue("(Kd)", (unsigned long long) found.level, (double) found.age / MILLISECONDS);
}

static PyObject *punish(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct limits *self = (struct limits *) object;
    struct limit_key key;
    uint64_t now, level;

    if (!take_two(self, arguments, count, 3, &key, &now)) {
        return NULL;
    }
    level = PyLong_AsUnsignedLongLong(arguments[2]);
    if (level == UINT64_MAX && PyErr_Occurred()) {
        return NULL;
    }
    limit_punish(&self->table, &key, level, now);
    return Py_NewRef(Py_None);
}

/* Calls `each` with every entry, until it gives 0. */
static int for_each(const struct limits *self, int (*each)(struct limit_entry *, uint64_t tag, void *), void *state)
{
    size_t set, slot;

    for (set = 0; set < self->table.size; set++) {
        for (slot = 0; slot < SLOTS; slot++) {
            struct limit_entry *entry = &self->table.sets[set].entries[slot];
            uint64_t tag = LIMIT_LOAD(&entry->tag);

            if (limit_is_entry(tag) && !each(entry, tag, state)) {
                return 0;
            }
        }
    }
    return 1;
}

struct tallied {
    uint64_t now, entries, bans;
};

static int tally_entry(struct limit_entry *entry, uint64_t tag, void *state)
{
    struct tallied *tallied = state;

    tallied->entries++;
    tallied->bans += limit_banned(entry, tag, tallied->now) != 0;
    return 1;
}

static PyObject *usage(PyObject *object, PyObject *argument)
{
    struct limits *self = (struct limits *) object;
    struct tallied tallied = {0, 0, 0};

    if (!take_seconds(argument, &tallied.now)) {
        return NULL;
    }
    (void) for_each(self, tally_entry, &tallied);
    return Py_BuildValue("(KKK)", (unsigned long long) tallied.entries, (unsigned long long) tallied.bans,
                         (unsigned long long) self->table.size * SLOTS);
}

struct listing {
    const struct limits *limits;
    PyObject *list;
    uint64_t now;
    Py_ssize_t most;
};

/* Whether the text of an entry is the whole key; other processes may have written anything there. */
static int is_whole(const struct limits *self, const unsigned char *text, uint64_t tag)
{
    struct limit_key key;

    if (text[0] >= TEXT_SIZE) {
        return 0;
    }
    limit_make_key(&self->table, text + 1, text[0], &key);
    return key.hash == tag >> LIMIT_HASH_SHIFT;
}

static int list_ban(struct limit_entry *entry, uint64_t tag, void *state)
{
    struct listing *listing = state;
    uint64_t left = limit_banned(entry, tag, listing->now);
    unsigned char text[TEXT_SIZE];
    PyObject *item;
    int whole, listed;

    if (left == 0 || PyList_GET_SIZE(listing->list) >= listing->most) {
        return left == 0;
    }
    memcpy(text, entry->text, TEXT_SIZE);
    whole = is_whole(listing->limits, text, tag);
    item = Py_BuildValue("(y#id)", text + 1, (Py_ssize_t) (whole ? text[0] : TEXT_SIZE - 1), whole,
                         (double) left / MILLISECONDS);
    listed = item != NULL && PyList_Append(listing->list, item) == 0;
    Py_XDECREF(item);
    return listed;
}

static PyObject *bans(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct limits *self = (struct limits *) object;
    struct listing listing = {.limits = self};

    if (!counted(count, 2) || !take_seconds(arguments[0], &listing.now)) {
        return NULL;
    }
    listing.most = PyLong_AsSsize_t(arguments[1]);
    listing.list = listing.most == -1 && PyErr_Occurred() ? NULL : PyList_New(0);
    if (listing.list != NULL && !for_each(self, list_ban, &listing) && PyErr_Occurred()) {
        Py_CLEAR(listing.list);
    }
    return listing.list;
}

static PyObject *adopt(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    struct limits *self = (struct limits *) object;
    Py_buffer former;
    uint64_t now;

    if (!counted(count, 2) || !take_seconds(arguments[1], &now) ||
        PyObject_GetBuffer(arguments[0], &former, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    if (former.len >= (Py_ssize_t) (sizeof(struct limit_header) + sizeof(struct limit_set))) {
        const struct limit_header *header = former.buf;

        limit_adopt(&self->table, (const struct limit_set *) (header + 1), sets_in(former.len), now);
    }
    PyBuffer_Release(&former);
    return Py_NewRef(Py_None);
}

static PyMethodDef limits_methods[] = {
    {"take", FAST(take), "take(key, now, burst): add a request; gives the excess."},
    {"give_back", give_back, METH_O, "give_back(key): take back a request that was added."},
    {"settle", settle, METH_O, "settle(key): a request that was added counts for good."},
    {"pending", pending, METH_O, "pending(key): how many requests were added and neither given back nor settled."},
    {"repeats", FAST(repeats), "repeats(key, what): whether `what` is among the last four of this key; then adds it."},
    {"ban", FAST(ban), "ban(key, now, seconds): ban a key, or lift its ban by 0 seconds."},
    {"banned", FAST(banned), "banned(key, now): the seconds that the key's ban still lasts, 0.0 without one."},
    {"penalty", FAST(penalty), "penalty(key, now): the level of the key's penalty, and its age in seconds."},
    {"punish", FAST(punish), "punish(key, now, level): set the level of the key's penalty."},
    {"usage", usage, METH_O, "usage(now): the number of entries, of bans, and of entries for which there is room."},
    {"bans", FAST(bans),
     "bans(now, most): banned keys, each with its first bytes, whether these are the whole key, and the seconds left."},
    {"adopt", FAST(adopt), "adopt(memory, now): copy the entries of another table with the same secret."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef limits_members[] = {
    {"dropped", T_ULONGLONG, offsetof(struct limits, table.dropped), READONLY,
     "How many entries this process has dropped although they still counted."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject limits_type = {
    TYPE("LimitTable", limits, "Counters of requests, penalties and bans by key, in shared memory.", 0),
    .tp_new = limits_new,
    .tp_dealloc = limits_dealloc,
    .tp_methods = limits_methods,
    .tp_members = limits_members,
};
