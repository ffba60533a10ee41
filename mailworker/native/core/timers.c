/* Deadlines of many sessions, in buckets; see event/timers.py. */

#include "core.h"

#include <math.h>

struct bucket {
    double due;
    struct timed *first; /* the bucket owns a reference to each of its members */
};

static PyObject *timed_new(PyTypeObject *type, PyObject *Py_UNUSED(arguments), PyObject *Py_UNUSED(keywords))
{
    struct timed *self = (struct timed *) type->tp_alloc(type, 0);

    if (self != NULL) {
        self->deadline = INFINITY;
    }
    return (PyObject *) self;
}

static PyObject *timed_bucket(PyObject *object, void *Py_UNUSED(closure))
{
    struct timed *self = (struct timed *) object;

    return PyFloat_FromDouble(self->bucket == NULL ? (double) INFINITY : self->bucket->due);
}

static PyGetSetDef timed_properties[] = {
    {"bucket", timed_bucket, NULL, "The time at which the object's bucket is due, inf for none.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef timed_members[] = {
    {"deadline", T_DOUBLE, offsetof(struct timed, deadline), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject timed_type = {
    TYPE("Timed", timed, "An object with a deadline, in seconds of the monotonic clock; inf is none.",
         Py_TPFLAGS_BASETYPE),
    .tp_new = timed_new,
    .tp_members = timed_members,
    .tp_getset = timed_properties,
};

/* Seconds: selectors count milliseconds in 31 bits, which a timeout of a month exceeds. */
#define LONGEST_DELAY (24 * 3600.0)

/* Width in seconds of the bucket for a delay in seconds, by which a deadline may be overrun. */
static double width(double delay)
{
    if (delay < 0.02) {
        return 0.001;
    }
    if (delay < 2.0) {
        return 0.01;
    }
    if (delay < 120.0) {
        return 0.1;
    }
    return delay < 3600.0 ? 5.0 : 60.0;
}

static void note_first(struct timers *self)
{
    self->first = self->count > 0 ? self->buckets[self->count - 1]->due : INFINITY;
}

/* The index of the bucket that is due at that time, or where it has to be inserted. */
static Py_ssize_t find(const struct timers *self, double due)
{
    Py_ssize_t low = 0, high = self->count;

    while (low < high) {
        Py_ssize_t middle = (low + high) / 2;

        if (self->buckets[middle]->due > due) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int make_room(struct timers *self)
{
    Py_ssize_t size = self->size > 0 ? 2 * self->size : 16;
    struct bucket **larger;

    if (self->count < self->size) {
        return 1;
    }
    larger = PyMem_Realloc(self->buckets, (size_t) size * sizeof(*larger));
    if (larger == NULL) {
        return done(PyErr_NoMemory());
    }
    self->buckets = larger;
    self->size = size;
    return 1;
}

static struct bucket *add_bucket(struct timers *self, Py_ssize_t place, double due)
{
    struct bucket *bucket;

    if (!make_room(self)) {
        return NULL;
    }
    bucket = PyMem_Calloc(1, sizeof(*bucket));
    if (bucket == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    bucket->due = due;
    memmove(self->buckets + place + 1, self->buckets + place, (size_t) (self->count - place) * sizeof(bucket));
    self->buckets[place] = bucket;
    self->count++;
    note_first(self);
    return bucket;
}

/* Without memory the object has no deadline any more. */
static int enter(struct timers *self, struct timed *timed, double now)
{
    double step = width(timed->deadline - now);
    double due = fmax(ceil(timed->deadline / step) * step, timed->deadline); /* rounding may give a time just before */
    Py_ssize_t place = find(self, due);
    struct bucket *bucket =
        place < self->count && self->buckets[place]->due == due ? self->buckets[place] : add_bucket(self, place, due);

    if (bucket == NULL) {
        timed->deadline = INFINITY;
        return 0;
    }
    timed->bucket = bucket;
    timed->next = bucket->first;
    timed->link = &bucket->first;
    if (bucket->first != NULL) {
        bucket->first->link = &timed->next;
    }
    bucket->first = timed;
    Py_INCREF(timed);
    return 1;
}

/* Removes it from its bucket. 1 if it was in one: the bucket's reference is then the caller's. */
static int leave(struct timed *timed)
{
    /* An empty bucket stays until it comes first: the next session with the same timeout will use it. */
    if (timed->bucket == NULL) {
        return 0;
    }
    *timed->link = timed->next;
    if (timed->next != NULL) {
        timed->next->link = timed->link;
    }
    timed->bucket = NULL;
    return 1;
}

static void drop_first(struct timers *self)
{
    PyMem_Free(self->buckets[--self->count]);
    note_first(self);
}

int timers_set(struct timers *timers, struct timed *timed, double deadline, double now)
{
    /* Unless this is positive, its bucket is due before the deadline, or soon enough after it. */
    double early = (timed->bucket == NULL ? (double) INFINITY : timed->bucket->due) - deadline;
    int was_filed, fine;

    timed->deadline = deadline;
    if (early <= 0 || early <= width(deadline - now)) {
        return 1;
    }
    was_filed = leave(timed);
    fine = enter(timers, timed, now);
    if (was_filed) {
        Py_DECREF(timed);
    }
    return fine;
}

void timers_cancel(struct timed *timed)
{
    timed->deadline = INFINITY;
    if (leave(timed)) {
        Py_DECREF(timed);
    }
}

double timers_delay(struct timers *timers, double now)
{
    while (timers->count > 0 && timers->buckets[timers->count - 1]->first == NULL) {
        drop_first(timers);
    }
    return timers->count > 0 ? fmin(fmax(timers->first - now, 0.0), LONGEST_DELAY) : (double) INFINITY;
}

static int is_timed(PyObject *object)
{
    return PyObject_TypeCheck(object, &timed_type) || raised(PyExc_TypeError, "no Timed");
}

/* Refuses infinities and NaN, which would never be due, or always. */
static int take_seconds(PyObject *argument, double *seconds)
{
    if (!take_real(argument, seconds)) {
        return 0;
    }
    if (!isfinite(*seconds)) {
        return raised(PyExc_ValueError, "a time must be finite");
    }
    return 1;
}

static PyObject *set(PyObject *object, PyObject *const *arguments, Py_ssize_t given)
{
    double deadline, now;

    return none_if(counted(given, 3) && is_timed(arguments[0]) && take_seconds(arguments[1], &deadline) &&
                   take_seconds(arguments[2], &now) &&
                   timers_set((struct timers *) object, (struct timed *) arguments[0], deadline, now));
}

static PyObject *cancel(PyObject *Py_UNUSED(object), PyObject *timed)
{
    if (!is_timed(timed)) {
        return NULL;
    }
    timers_cancel((struct timed *) timed);
    Py_RETURN_NONE;
}

static PyObject *delay(PyObject *object, PyObject *argument)
{
    double now, seconds;

    if (!take_seconds(argument, &now)) {
        return NULL;
    }
    seconds = timers_delay((struct timers *) object, now);
    return isinf(seconds) ? Py_NewRef(Py_None) : PyFloat_FromDouble(seconds);
}

/* Expires the first object of a bucket that is due, or moves it to another bucket if its deadline has moved. */
static int expire_or_wait_on(struct timers *self, struct timed *timed, double now)
{
    int went_well;

    (void) leave(timed);
    if (timed->deadline <= now) {
        timed->deadline = INFINITY;
        went_well = done(PyObject_CallMethodNoArgs((PyObject *) timed, names.expire));
    } else {
        went_well = isinf(timed->deadline) || enter(self, timed, now);
    }
    Py_DECREF(timed);
    return went_well;
}

static PyObject *expire(PyObject *object, PyObject *argument)
{
    struct timers *self = (struct timers *) object;
    double now;

    if (!take_seconds(argument, &now)) {
        return NULL;
    }
    while (self->first <= now) {
        struct timed *timed = self->buckets[self->count - 1]->first;

        if (timed == NULL) {
            drop_first(self);
        } else if (!expire_or_wait_on(self, timed, now)) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *timers_new(PyTypeObject *type, PyObject *Py_UNUSED(arguments), PyObject *Py_UNUSED(keywords))
{
    struct timers *self = (struct timers *) type->tp_alloc(type, 0);

    if (self != NULL) {
        note_first(self);
    }
    return (PyObject *) self;
}

static int timers_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct timers *self = (struct timers *) object;
    struct timed *timed;
    Py_ssize_t i;

    for (i = 0; i < self->count; i++) {
        for (timed = self->buckets[i]->first; timed != NULL; timed = timed->next) {
            Py_VISIT(timed);
        }
    }
    return 0;
}

static int timers_clear(PyObject *object)
{
    struct timers *self = (struct timers *) object;

    while (self->count > 0) {
        struct timed *timed = self->buckets[self->count - 1]->first;

        if (timed == NULL) {
            drop_first(self);
        } else {
            (void) leave(timed);
            Py_DECREF(timed);
        }
    }
    return 0;
}

static void timers_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    (void) timers_clear(object);
    PyMem_Free(((struct timers *) object)->buckets);
    Py_TYPE(object)->tp_free(object);
}

static PyMemberDef timers_members[] = {
    {"first", T_DOUBLE, offsetof(struct timers, first), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef timers_methods[] = {
    {"set", FAST(set), "set(timed, deadline, now)"},
    {"cancel", cancel, METH_O, "cancel(timed)"},
    {"delay", delay, METH_O, "delay(now): seconds until a deadline may pass, None without deadlines."},
    {"expire", expire, METH_O, "expire(now)"},
    {NULL, NULL, 0, NULL},
};

PyTypeObject timers_type = {
    COLLECTED_TYPE("Timers", timers, "All deadlines of one loop.", 0),
    .tp_new = timers_new,
    .tp_members = timers_members,
    .tp_methods = timers_methods,
};
