/*
 * Counts of connections by key, for many processes that count at once; see shm/conn_table.py.
 *
 * A count is one word with a key's tag and the number. So each change is one compare-and-exchange, and a process that
 * is killed leaves nothing half done. Two processes may give one key two words at the same moment: a key's count is the
 * sum of its words. A process that has added one reads the sum afterwards, and takes its one back if that is too much.
 * So of all that add at once the last one sees all others, and the limit is never exceeded.
 */

#include "shm.h"
#include "siphash.h"

#define WAYS 8                      /* words of a set: one cache line */
#define COUNT_BITS 20
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define TRIES 1000

struct conns {
    PyObject_HEAD
    PyObject *secret;
    Py_buffer memory, journal; /* their obj is NULL before there are any */
    uint64_t *counts, *held;
    size_t sets, places, used, free;
    uint32_t *unused; /* places of the journal that were given back */
    uint64_t hash_key[2]; /* the secret */
};

struct sets {
    uint64_t *words[2];
};

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static int swap(uint64_t *word, uint64_t before, uint64_t after)
{
    return __atomic_compare_exchange_n(word, &before, after, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static uint64_t tag_of(uint64_t hash)
{
    uint64_t tag = hash & ~COUNT_MASK;

    return tag != 0 ? tag : COUNT_MASK + 1;
}

static struct sets sets_of(const struct conns *self, uint64_t hash)
{
    size_t home = hash % self->sets;
    size_t away = (size_t) ((hash * UINT64_C(0x9E3779B97F4A7C15)) >> 32) % (self->sets - 1);

    return (struct sets){{self->counts + home * WAYS, self->counts + (home + 1 + away) % self->sets * WAYS}};
}

/* The count of a tag: the sum of all words that have it. */
static uint64_t sum(const struct sets *sets, uint64_t tag)
{
    uint64_t total = 0;
    size_t set, way;

    for (set = 0; set < 2; set++) {
        for (way = 0; way < WAYS; way++) {
            uint64_t count = load(sets->words[set] + way) ^ tag;

            total += count <= COUNT_MASK ? count : 0;
        }
    }
    return total;
}

/* A word with the tag, or else a free one; NULL where there is neither. */
static uint64_t *find(const struct sets *sets, uint64_t tag, uint64_t *found)
{
    uint64_t *vacant = NULL;
    size_t set, way;

    for (set = 0; set < 2; set++) {
        for (way = 0; way < WAYS; way++) {
            uint64_t *place = sets->words[set] + way, word = load(place);

            if ((word & COUNT_MASK) == 0) {
                if (vacant == NULL) {
                    vacant = place;
                    *found = word;
                }
            } else if ((word ^ tag) <= COUNT_MASK) {
                *found = word;
                return place;
            }
        }
    }
    return vacant;
}

static void release(const struct conns *self, uint64_t hash)
{
    struct sets sets = sets_of(self, hash);
    uint64_t tag = tag_of(hash);
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        uint64_t found = 0, *word = find(&sets, tag, &found);

        if (word == NULL || (found & ~COUNT_MASK) != tag || (found & COUNT_MASK) == 0) {
            return; /* a compromised worker has written there */
        }
        if (swap(word, found, (found & COUNT_MASK) == 1 ? 0 : found - 1)) {
            return;
        }
    }
}

static int add(const struct conns *self, uint64_t hash, uint64_t most)
{
    struct sets sets = sets_of(self, hash);
    uint64_t tag = tag_of(hash);
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        uint64_t found = 0, *word;

        if (sum(&sets, tag) >= most) {
            return CONNS_OVER;
        }
        word = find(&sets, tag, &found);
        if (word == NULL) {
            return CONNS_FULL;
        }
        if (swap(word, found, (found & COUNT_MASK) == 0 ? tag | 1 : found + 1)) {
            if (sum(&sets, tag) <= most) {
                return 0;
            }
            release(self, hash);
            return CONNS_OVER;
        }
    }
    return CONNS_OVER;
}

/* A free place of the journal; `places` where there is none. */
static size_t place_for(struct conns *self)
{
    if (self->free > 0) {
        return self->unused[--self->free];
    }
    return self->used < self->places ? self->used++ : self->places;
}

static uint64_t hash_of(const struct conns *self, const void *key, size_t length)
{
    uint64_t hash = siphash_2_4(self->hash_key[0], self->hash_key[1], key, length);

    return hash + (hash == 0);
}

/* The journal is written first, so that the master finds the connection if this process is killed. */
Py_ssize_t conns_hold(PyObject *object, const void *key, size_t length, uint64_t most)
{
    struct conns *self = (struct conns *) object;
    uint64_t hash = hash_of(self, key, length);
    size_t place = place_for(self);
    int result;

    if (place == self->places) {
        return CONNS_FULL;
    }
    __atomic_store_n(&self->held[place], hash, __ATOMIC_SEQ_CST);
    result = add(self, hash, most);
    if (result < 0) {
        __atomic_store_n(&self->held[place], 0, __ATOMIC_SEQ_CST);
        self->unused[self->free++] = (uint32_t) place;
        return result;
    }
    return (Py_ssize_t) place;
}

static int give_up(struct conns *self, size_t place)
{
    uint64_t hash = place < self->used ? load(&self->held[place]) : 0;

    if (hash == 0) {
        return 0;
    }
    release(self, hash);
    __atomic_store_n(&self->held[place], 0, __ATOMIC_SEQ_CST);
    self->unused[self->free++] = (uint32_t) place;
    return 1;
}

void conns_let_go(PyObject *object, size_t place)
{
    (void) give_up((struct conns *) object, place);
}

static PyObject *hold(PyObject *object, PyObject *arguments)
{
    unsigned long long most;
    const char *key;
    Py_ssize_t length;

    return PyArg_ParseTuple(arguments, "y#K", &key, &length, &most)
               ? PyLong_FromSsize_t(conns_hold(object, key, (size_t) length, most))
               : NULL;
}

static PyObject *let_go(PyObject *object, PyObject *argument)
{
    size_t place = PyLong_AsSize_t(argument);

    if (place == (size_t) -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!give_up((struct conns *) object, place)) {
        return PyErr_Format(PyExc_IndexError, "nothing is held there");
    }
    return Py_NewRef(Py_None);
}

static PyObject *let_all_go(PyObject *object, PyObject *argument)
{
    struct conns *self = (struct conns *) object;
    Py_buffer journal;
    size_t place, count = 0;

    if (PyObject_GetBuffer(argument, &journal, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    for (place = 0; place < (size_t) journal.len / sizeof(uint64_t); place++) {
        uint64_t *word = (uint64_t *) journal.buf + place;

        if (*word != 0) {
            release(self, *word);
            *word = 0;
            count++;
        }
    }
    PyBuffer_Release(&journal);
    return PyLong_FromSize_t(count);
}

static int take_words(PyObject *memory, Py_buffer *buffer)
{
    return PyObject_GetBuffer(memory, buffer, PyBUF_WRITABLE) == 0 && (uintptr_t) buffer->buf % sizeof(uint64_t) == 0;
}

static int take_memories(struct conns *self, PyObject *memory, PyObject *journal)
{
    if (!take_words(memory, &self->memory) || !take_words(journal, &self->journal) ||
        self->memory.len < (Py_ssize_t) (2 * WAYS * sizeof(uint64_t))) {
        return PyErr_Occurred() == NULL && raised(PyExc_ValueError, "no memory that will do");
    }
    self->counts = self->memory.buf;
    self->held = self->journal.buf;
    self->sets = (size_t) self->memory.len / (WAYS * sizeof(uint64_t));
    self->places = (size_t) self->journal.len / sizeof(uint64_t);
    self->unused = PyMem_Malloc((self->places + 1) * sizeof(uint32_t));
    return self->unused != NULL || done(PyErr_NoMemory());
}

static PyObject *conns_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *memory, *secret, *journal;
    struct conns *self;

    if (!PyArg_ParseTuple(arguments, "OSO", &memory, &secret, &journal)) {
        return NULL;
    }
    if (PyBytes_GET_SIZE(secret) != sizeof(self->hash_key)) {
        return PyErr_Format(PyExc_ValueError, "no memory that will do, or no secret");
    }
    self = (struct conns *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->secret = Py_NewRef(secret);
        memcpy(self->hash_key, PyBytes_AS_STRING(secret), sizeof(self->hash_key));
        if (!take_memories(self, memory, journal)) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static void conns_dealloc(PyObject *object)
{
    struct conns *self = (struct conns *) object;

    PyBuffer_Release(&self->memory);
    PyBuffer_Release(&self->journal);
    Py_XDECREF(self->secret);
    PyMem_Free(self->unused);
    Py_TYPE(object)->tp_free(object);
}

static PyMemberDef conns_members[] = {
    {"_memory", T_OBJECT_EX, offsetof(struct conns, memory.obj), READONLY, NULL},
    {"_secret", T_OBJECT_EX, offsetof(struct conns, secret), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef conns_methods[] = {
    {"hold", hold, METH_VARARGS,
     "hold(key, most): count a connection; gives its place in the journal, or OVER or FULL."},
    {"let_go", let_go, METH_O, "let_go(place): uncount the connection at this place of the journal."},
    {"let_all_go", let_all_go, METH_O,
     "let_all_go(journal): uncount all connections in the journal of another process; gives how many."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject conns_type = {
    TYPE("ConnTable", conns, "Connection counts by key, in shared memory.", Py_TPFLAGS_BASETYPE),
    .tp_new = conns_new,
    .tp_dealloc = conns_dealloc,
    .tp_members = conns_members,
    .tp_methods = conns_methods,
};
