/* The penalty of a key: its level rises with each failed login, and a login that succeeds takes it away. */

#include "attempts.h"

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

    if (all->penalised == NONE || all->penalties == Py_None || self->keys[all->penalised].key.length == 0) {
        return 0;
    }
    found = limit_penalty_of(&self->keys[all->penalised].key, now);
    return found.level == 0
               ? 0
               : level_from(PyObject_CallMethod(all->penalties, "level", "Kd", (unsigned long long) found.level,
                                                (double) found.age / MILLISECONDS));
}

double penalty_of(struct attempt *self, uint64_t now)
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

void penalty_forgive(const struct attempt *self, uint64_t now)
{
    Py_ssize_t place = self->all->penalised;
    const struct limit_key *key = place == NONE ? NULL : &self->keys[place].key;

    if (key != NULL && key->length != 0 && limit_penalty_of(key, now).level != 0) {
        limit_punish(self->all->rules[place].table, key, 0, now);
    }
}

int is_repeated(const struct attempt *self, Py_ssize_t place, PyObject *what)
{
    return PyBytes_GET_SIZE(what) != 0 && limit_repeats(self->all->rules[place].table, &self->keys[place].key,
                                                        PyBytes_AS_STRING(what), (size_t) PyBytes_GET_SIZE(what));
}

int penalty_raise(struct attempt *self, PyObject *what, uint64_t now, int asked)
{
    const struct attempts *all = self->all;
    Py_ssize_t place = all->penalised;
    long level;

    if (place == NONE || all->penalties == Py_None || self->keys[place].key.length == 0) {
        return 1;
    }
    if (!asked && is_repeated(self, place, what)) {
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
    limit_punish(all->rules[place].table, &self->keys[place].key, (uint64_t) level, now);
    if (!asked) {
        (void) is_repeated(self, place, what); /* once more, as the entry may not have existed before */
    }
    return 1;
}
