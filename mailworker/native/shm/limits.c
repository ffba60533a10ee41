/* Requests, failures and bans by key, which all workers count; see shm/limit_table.py. */

#include "limit_table.h"
#include "shm.h"

struct limits {
    PyObject_HEAD
    PyObject *secret;
    Py_buffer memory; /* its obj is NULL until there is one */
    struct limit_table table;
};

struct limit_table *limits_table(PyObject *object)
{
    return &((struct limits *) object)->table;
}

static void use_key(PyObject *object, PyObject *bytes, struct limit_key *key)
{
    limit_make_key(limits_table(object), PyBytes_AS_STRING(bytes), (size_t) PyBytes_GET_SIZE(bytes), key);
}

/* Takes a key, and what else `format` says: the time, and a number. */
static int take_arguments(PyObject *object, PyObject *arguments, const char *format, struct limit_key *key,
                          uint64_t *now, void *number)
{
    PyObject *bytes;
    double seconds = 0.0;

    if (!PyArg_ParseTuple(arguments, format, &bytes, &seconds, number)) {
        return 0;
    }
    use_key(object, bytes, key);
    *now = limit_milliseconds(seconds);
    return 1;
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

    if (!PyArg_ParseTuple(arguments, "OS(KK)", &memory, &secret, &gain, &period)) {
        return NULL;
    }
    if (gain == 0 || period == 0 || PyBytes_GET_SIZE(secret) != sizeof(self->table.secret)) {
        return PyErr_Format(PyExc_ValueError, "no rate, or no secret");
    }
    self = (struct limits *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->secret = Py_NewRef(secret);
        memcpy(self->table.secret, PyBytes_AS_STRING(secret), sizeof(self->table.secret));
        self->table.gain = gain;
        self->table.period = period;
        if (!take_memory(self, memory)) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static void limits_dealloc(PyObject *object)
{
    struct limits *self = (struct limits *) object;

    PyBuffer_Release(&self->memory);
    Py_XDECREF(self->secret);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *take(PyObject *object, PyObject *arguments)
{
    unsigned long long burst;
    struct limit_key key;
    uint64_t now;

    if (!take_arguments(object, arguments, "SdK", &key, &now, &burst)) {
        return NULL;
    }
    return PyLong_FromLongLong(limit_take(limits_table(object), &key, now, burst));
}

static PyObject *give_back(PyObject *object, PyObject *arguments)
{
    struct limit_key key;
    uint64_t now;

    if (!take_arguments(object, arguments, "S", &key, &now, NULL)) {
        return NULL;
    }
    limit_give_back(limits_table(object), &key);
    return Py_NewRef(Py_None);
}

static PyObject *settle(PyObject *object, PyObject *arguments)
{
    struct limit_key key;
    uint64_t now;

    if (!take_arguments(object, arguments, "S", &key, &now, NULL)) {
        return NULL;
    }
    limit_settle(&key);
    return Py_NewRef(Py_None);
}

static PyObject *pending(PyObject *object, PyObject *arguments)
{
    struct limit_key key;
    uint64_t now;

    return take_arguments(object, arguments, "S", &key, &now, NULL) ? PyLong_FromUnsignedLongLong(limit_pending(&key))
                                                                    : NULL;
}

static PyObject *repeats(PyObject *object, PyObject *arguments)
{
    PyObject *bytes, *what;
    struct limit_key key;

    if (!PyArg_ParseTuple(arguments, "SS", &bytes, &what)) {
        return NULL;
    }
    use_key(object, bytes, &key);
    return PyBool_FromLong(
        limit_repeats(limits_table(object), &key, PyBytes_AS_STRING(what), (size_t) PyBytes_GET_SIZE(what)));
}

static PyObject *ban(PyObject *object, PyObject *arguments)
{
    struct limit_entry *entry;
    struct limit_key key;
    uint64_t now, time, tag;
    double seconds;

    if (!take_arguments(object, arguments, "Sdd", &key, &now, &seconds)) {
        return NULL;
    }
    time = limit_milliseconds(seconds);
    entry = time == 0 ? limit_find(&key, &tag) : limit_make_entry(limits_table(object), &key, now, &tag);
    return PyBool_FromLong(entry != NULL && limit_set_ban(entry, tag, time == 0 ? 0 : now + time));
}

static PyObject *banned(PyObject *object, PyObject *arguments)
{
    struct limit_key key;
    uint64_t now;

    if (!take_arguments(object, arguments, "Sd", &key, &now, NULL)) {
        return NULL;
    }
    return PyFloat_FromDouble((double) limit_ban_of(&key, now) / MILLISECONDS);
}

static PyObject *penalty(PyObject *object, PyObject *arguments)
{
    struct limit_penalty found;
    struct limit_key key;
    uint64_t now;

    if (!take_arguments(object, arguments, "Sd", &key, &now, NULL)) {
        return NULL;
    }
    found = limit_penalty_of(&key, now);
    return Py_BuildValue("(Kd)", (unsigned long long) found.level, (double) found.age / MILLISECONDS);
}

static PyObject *punish(PyObject *object, PyObject *arguments)
{
    unsigned long long level;
    struct limit_key key;
    uint64_t now;

    if (!take_arguments(object, arguments, "SdK", &key, &now, &level)) {
        return NULL;
    }
    limit_punish(limits_table(object), &key, level, now);
    return Py_NewRef(Py_None);
}

static PyObject *adopt(PyObject *object, PyObject *arguments)
{
    Py_buffer former;
    double now;

    if (!PyArg_ParseTuple(arguments, "y*d", &former, &now)) {
        return NULL;
    }
    if (former.len >= (Py_ssize_t) (sizeof(struct limit_header) + sizeof(struct limit_set))) {
        const struct limit_header *header = former.buf;

        limit_adopt(limits_table(object), (const struct limit_set *) (header + 1), sets_in(former.len),
                    limit_milliseconds(now));
    }
    PyBuffer_Release(&former);
    return Py_NewRef(Py_None);
}

static PyMethodDef limits_methods[] = {
    {"take", take, METH_VARARGS, "take(key, now, burst): add a request; gives the excess."},
    {"give_back", give_back, METH_VARARGS, "give_back(key): take back a request that was added."},
    {"settle", settle, METH_VARARGS, "settle(key): a request that was added counts for good."},
    {"pending", pending, METH_VARARGS,
     "pending(key): how many requests were added and neither given back nor settled."},
    {"repeats", repeats, METH_VARARGS,
     "repeats(key, what): whether `what` is among the last four of this key; then adds it."},
    {"ban", ban, METH_VARARGS, "ban(key, now, seconds): ban a key, or lift its ban by 0 seconds."},
    {"banned", banned, METH_VARARGS, "banned(key, now): the seconds that the key's ban still lasts, 0.0 without one."},
    {"penalty", penalty, METH_VARARGS, "penalty(key, now): the level of the key's penalty, and its age in seconds."},
    {"punish", punish, METH_VARARGS, "punish(key, now, level): set the level of the key's penalty."},
    {"adopt", adopt, METH_VARARGS, "adopt(memory, now): copy the entries of another table with the same secret."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef limits_members[] = {
    {"_memory", T_OBJECT_EX, offsetof(struct limits, memory.obj), READONLY, NULL},
    {"_secret", T_OBJECT_EX, offsetof(struct limits, secret), READONLY, NULL},
    {"dropped", T_ULONGLONG, offsetof(struct limits, table.dropped), READONLY,
     "How many entries this process has dropped although they still counted."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject limits_type = {
    TYPE("LimitTable", limits, "Counters of requests, penalties and bans by key, in shared memory.",
         Py_TPFLAGS_BASETYPE),
    .tp_new = limits_new,
    .tp_dealloc = limits_dealloc,
    .tp_methods = limits_methods,
    .tp_members = limits_members,
};
