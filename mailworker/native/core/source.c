/* The sources of a line's values in a session; variables/source.py describes them. */

#include "source.h"

#include <string.h>

#define PATHS 3

typedef enum found (*finder)(struct source *source, PyObject *session, const struct timespec *now, struct value *value);

struct source {
    finder find;
    struct path paths[PATHS], when, unless;
    int count;           /* of paths */
    int alike;           /* whether the previous source has the same conditions */
    PyObject *argument;  /* both are borrowed from the tuple that this was made of */
    PyObject *otherwise; /* None for nothing */
    PyObject *kept;      /* the cached value, NULL before there is one */
    time_t second;       /* the second of the cached value */
};

/* The fields of a tuple in variables/source.py. */
enum { KIND, WAYS, ARGUMENT, WHEN, UNLESS, OTHERWISE, FIELDS };

/* The result of a function, whose reference it steals. */
static enum found given(struct value *value, PyObject *object)
{
    value->object = object;
    return object == NULL ? FAILED : object == Py_None ? NOTHING : OBJECT;
}

static enum found find_at(struct source *source, PyObject *session, const struct timespec *Py_UNUSED(now),
                          struct value *value)
{
    return path_read(&source->paths[0], session, value);
}

static enum found find_thousandth(struct source *source, PyObject *session, const struct timespec *Py_UNUSED(now),
                                  struct value *value)
{
    enum found found = path_number(&source->paths[0], session, &value->real);

    value->real /= 1000;
    return found;
}

static enum found find_difference(struct source *source, PyObject *session, const struct timespec *Py_UNUSED(now),
                                  struct value *value)
{
    double numbers[PATHS] = {0};
    enum found found = REAL;
    int i;

    for (i = 0; i < source->count && found == REAL; i++) {
        found = path_number(&source->paths[i], session, &numbers[i]);
    }
    value->real = numbers[0] - numbers[1] + numbers[2] / 1000;
    return found;
}

static PyObject *item_of(struct source *source, PyObject *number)
{
    Py_ssize_t index = PyLong_AsSsize_t(number);

    if (index == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (index < 0 || index >= PyTuple_GET_SIZE(source->argument)) {
        PyErr_SetString(PyExc_IndexError, "there is no such item");
        return NULL;
    }
    return Py_NewRef(PyTuple_GET_ITEM(source->argument, index));
}

static PyObject *apply(struct source *source, PyObject *argument)
{
    return PyObject_CallOneArg(source->argument, argument);
}

static enum found made_of(PyObject *(*make)(struct source *, PyObject *), struct source *source, PyObject *session,
                          struct value *value)
{
    PyObject *object = path_follow(&source->paths[0], session), *made;

    if (object == NULL || object == Py_None) {
        return given(value, object);
    }
    made = make(source, object);
    Py_DECREF(object);
    return given(value, made);
}

static enum found find_item(struct source *source, PyObject *session, const struct timespec *Py_UNUSED(now),
                            struct value *value)
{
    return made_of(item_of, source, session, value);
}

/* Only backends with a colon in their host are spelled in another way. */
static PyObject *spell(struct source *source, PyObject *text)
{
    const char *bytes = PyUnicode_Check(text) && PyUnicode_IS_COMPACT_ASCII(text) ? PyUnicode_DATA(text) : "::";
    const char *colon = strchr(bytes, ':');

    return colon != NULL && strchr(colon + 1, ':') != NULL ? apply(source, text) : Py_NewRef(text);
}

static enum found find_spelled(struct source *source, PyObject *session, const struct timespec *Py_UNUSED(now),
                               struct value *value)
{
    return made_of(spell, source, session, value);
}

static enum found find_result(struct source *source, PyObject *session, const struct timespec *Py_UNUSED(now),
                              struct value *value)
{
    PyObject *values[PATHS] = {NULL}, *result = NULL;
    int i = 0;

    while (i < source->count && (values[i] = path_follow(&source->paths[i], session)) != NULL) {
        i++;
    }
    if (i == source->count) {
        result = PyObject_Vectorcall(values[0], values + 1, (size_t) i - 1, NULL);
    }
    while (i > 0) {
        Py_DECREF(values[--i]);
    }
    return given(value, result);
}

static enum found find_asked(struct source *source, PyObject *session, const struct timespec *Py_UNUSED(now),
                             struct value *value)
{
    return given(value, apply(source, session));
}

static enum found find_once(struct source *source, PyObject *session, const struct timespec *Py_UNUSED(now),
                            struct value *value)
{
    if (source->kept == NULL) {
        source->kept = apply(source, session);
    }
    return given(value, Py_XNewRef(source->kept));
}

static enum found find_second(struct source *source, PyObject *Py_UNUSED(session), const struct timespec *now,
                              struct value *value)
{
    if (source->kept == NULL || source->second != now->tv_sec) {
        PyObject *second = PyLong_FromLongLong((long long) now->tv_sec);
        PyObject *made = second == NULL ? NULL : apply(source, second);

        Py_XDECREF(second);
        Py_XSETREF(source->kept, made);
        source->second = now->tv_sec;
    }
    return given(value, Py_XNewRef(source->kept));
}

static enum found find_millisecond(struct source *Py_UNUSED(source), PyObject *Py_UNUSED(session),
                                   const struct timespec *now, struct value *value)
{
    int milliseconds = (int) (now->tv_nsec / 1000000);
    const char digits[3] = {(char) ('0' + milliseconds / 100), (char) ('0' + milliseconds / 10 % 10),
                            (char) ('0' + milliseconds % 10)};

    return given(value, PyBytes_FromStringAndSize(digits, sizeof(digits)));
}

/* In the order of `Kind`. */
static const finder finders[] = {
    find_at,      find_thousandth, find_difference, find_item,   find_result,
    find_spelled, find_asked,      find_once,       find_second, find_millisecond,
};

enum found source_value(struct source *sources, Py_ssize_t index, PyObject *session, const struct timespec *now,
                        struct conditions *conditions, struct value *value)
{
    struct source *source = &sources[index];
    enum found found;

    value->object = NULL;
    if (!source->alike) {
        conditions->wanted = source->when.length == 0 ? 1 : path_has(&source->when, session);
        conditions->barred =
            conditions->wanted > 0 && source->unless.length > 0 ? path_has(&source->unless, session) : 0;
    }
    if (conditions->wanted < 0 || conditions->barred < 0) {
        return FAILED;
    }
    if (!conditions->wanted) {
        return NOTHING;
    }
    found = conditions->barred ? NOTHING : source->find(source, session, now, value);
    if (found != NOTHING || source->otherwise == Py_None) {
        return found;
    }
    Py_XDECREF(value->object);
    return given(value, PyObject_CallOneArg(source->otherwise, session));
}

/* Takes an optional path. */
static int take_condition(struct path *path, PyObject *text)
{
    return PyUnicode_Check(text) && PyUnicode_GET_LENGTH(text) == 0 ? 1 : path_take(path, text);
}

static int take_source(struct source *source, PyObject *description)
{
    PyObject *ways;
    int kind;

    if (!PyTuple_Check(description) || PyTuple_GET_SIZE(description) != FIELDS ||
        !PyTuple_Check(PyTuple_GET_ITEM(description, WAYS))) {
        PyErr_SetString(PyExc_TypeError, "no source of a value");
        return 0;
    }
    ways = PyTuple_GET_ITEM(description, WAYS);
    source->argument = PyTuple_GET_ITEM(description, ARGUMENT);
    source->otherwise = PyTuple_GET_ITEM(description, OTHERWISE);
    if (!take_int(PyTuple_GET_ITEM(description, KIND), &kind)) {
        return 0;
    }
    if (kind < 0 || kind >= (int) (sizeof(finders) / sizeof(finders[0])) || PyTuple_GET_SIZE(ways) > PATHS ||
        (finders[kind] == find_result && PyTuple_GET_SIZE(ways) == 0) ||
        (finders[kind] == find_item && !PyTuple_Check(source->argument))) {
        PyErr_SetString(PyExc_ValueError, "no source of a value");
        return 0;
    }
    source->find = finders[kind];
    while (source->count < (int) PyTuple_GET_SIZE(ways)) {
        if (!path_take(&source->paths[source->count], PyTuple_GET_ITEM(ways, source->count))) {
            return 0;
        }
        source->count++;
    }
    return take_condition(&source->when, PyTuple_GET_ITEM(description, WHEN)) &&
           take_condition(&source->unless, PyTuple_GET_ITEM(description, UNLESS));
}

/* Whether two sources have the same conditions; the names in them are interned. */
static int are_alike(const struct source *one, const struct source *other)
{
    const struct path *ones[] = {&one->when, &one->unless}, *others[] = {&other->when, &other->unless};
    int i, j;

    for (i = 0; i < 2; i++) {
        for (j = 0; j < STEPS; j++) {
            if (ones[i]->steps[j].name != others[i]->steps[j].name) {
                return 0;
            }
        }
    }
    return 1;
}

struct source *sources_new(PyObject *parts, Py_ssize_t place)
{
    Py_ssize_t i, count = PyTuple_GET_SIZE(parts);
    struct source *sources = PyMem_Calloc((size_t) count + 1, sizeof(*sources));

    if (sources == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (i = 0; i < count; i++) {
        if (!take_source(&sources[i], PyTuple_GET_ITEM(PyTuple_GET_ITEM(parts, i), place))) {
            sources_free(sources, count);
            return NULL;
        }
        sources[i].alike = i > 0 && are_alike(&sources[i - 1], &sources[i]);
    }
    return sources;
}

#define PATHS_OF(source)                                                                                               \
    {&(source)->paths[0], &(source)->paths[1], &(source)->paths[2], &(source)->when, &(source)->unless}

void sources_free(struct source *sources, Py_ssize_t count)
{
    Py_ssize_t i;
    int j, k;

    for (i = 0; sources != NULL && i < count; i++) {
        struct path *paths[] = PATHS_OF(&sources[i]);

        for (j = 0; j < PATHS + 2; j++) {
            for (k = 0; k < STEPS; k++) {
                step_free(&paths[j]->steps[k]);
            }
        }
        Py_XDECREF(sources[i].kept);
    }
    PyMem_Free(sources);
}

int sources_traverse(struct source *sources, Py_ssize_t count, visitproc visit, void *arg)
{
    Py_ssize_t i;
    int j, k;

    for (i = 0; sources != NULL && i < count; i++) {
        struct path *paths[] = PATHS_OF(&sources[i]);

        for (j = 0; j < PATHS + 2; j++) {
            for (k = 0; k < STEPS; k++) {
                Py_VISIT(paths[j]->steps[k].type);
            }
        }
        Py_VISIT(sources[i].kept);
    }
    return 0;
}
