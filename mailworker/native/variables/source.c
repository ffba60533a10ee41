/* The sources of a line's values in a session; variables/source.py describes them. */

#include "mail.h"
#include "source.h"

#include <string.h>

/* The fields of a tuple in variables/source.py. */
enum { KIND, WAYS, ARGUMENT, WHEN, UNLESS, OTHERWISE, FIELDS };

static const struct value nothing = {.found = NOTHING}, failed = {.found = FAILED};

/* A number that is made of others, if they were all found. */
static const struct value *number(struct walk *walk, enum found found, double real)
{
    return found == REAL ? walk_make_real(walk, real) : found == NOTHING ? &nothing : &failed;
}

static const struct value *find_thousandth(struct source *source, struct walk *walk)
{
    double milliseconds = 0;
    enum found found = value_number(walk_to(walk, source->paths[0]), &milliseconds);

    return number(walk, found, milliseconds / 1000);
}

static const struct value *find_difference(struct source *source, struct walk *walk)
{
    double numbers[PATHS] = {0};
    enum found found = REAL;
    int i;

    for (i = 0; i < source->count && found == REAL; i++) {
        found = value_number(walk_to(walk, source->paths[i]), &numbers[i]);
    }
    return number(walk, found, numbers[0] - numbers[1] + numbers[2] / 1000);
}

static const struct value *apply(struct source *source, struct walk *walk, PyObject *argument)
{
    return walk_make(walk, PyObject_CallOneArg(source->argument, argument));
}

static const struct value *find_item(struct source *source, struct walk *walk)
{
    const struct value *value = walk_to(walk, source->paths[0]);
    PyObject *object;
    Py_ssize_t index;

    if (value->found == NOTHING) {
        return value;
    }
    object = value_object(value);
    if (object == NULL) {
        return &failed;
    }
    index = PyLong_AsSsize_t(object);
    Py_DECREF(object);
    if (index == -1 && PyErr_Occurred()) {
        return &failed;
    }
    if (index < 0 || index >= PyTuple_GET_SIZE(source->argument)) {
        PyErr_SetString(PyExc_IndexError, "there is no such item");
        return &failed;
    }
    return walk_make(walk, Py_NewRef(PyTuple_GET_ITEM(source->argument, index)));
}

/* Whether a text is ASCII and has no two colons. */
static int is_usual(PyObject *text)
{
    const char *bytes, *colon;

    if (!PyUnicode_Check(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
        return 0;
    }
    bytes = PyUnicode_DATA(text);
    colon = strchr(bytes, ':');
    return colon == NULL || strchr(colon + 1, ':') == NULL;
}

static const struct value *find_spelled(struct source *source, struct walk *walk)
{
    const struct value *value = walk_to(walk, source->paths[0]);
    PyObject *object;

    if (value->found == NOTHING || value->found == FAILED || (value->found == OBJECT && is_usual(value->object))) {
        return value;
    }
    object = value_object(value);
    value = object == NULL ? &failed : apply(source, walk, object);
    Py_XDECREF(object);
    return value;
}

static const struct value *call(struct source *source, struct walk *walk)
{
    PyObject *values[PATHS] = {NULL}, *result = NULL;
    int i = 0;

    while (i < source->count && (values[i] = value_object(walk_to(walk, source->paths[i]))) != NULL) {
        i++;
    }
    if (i == source->count) {
        result = PyObject_Vectorcall(values[0], values + 1, (size_t) i - 1, NULL);
    }
    while (i > 0) {
        Py_DECREF(values[--i]);
    }
    return walk_make(walk, result);
}

static const struct value *find_result(struct source *source, struct walk *walk)
{
    const struct value *function = walk_to(walk, source->paths[0]);
    double accepted;

    if (source->count == 3 && function->found == OBJECT && is_identifier(function->object) &&
        value_number(walk_to(walk, source->paths[1]), &accepted) == REAL) {
        const struct value *connection = walk_to(walk, source->paths[2]);

        if (connection->found == OBJECT && identify(function->object, accepted, connection->object, walk->text)) {
            return walk_make_text(walk, SESSION_ID_LENGTH);
        }
    }
    return PyErr_Occurred() ? &failed : call(source, walk);
}

static const struct value *find_asked(struct source *source, struct walk *walk)
{
    return apply(source, walk, walk->session);
}

static const struct value *kept(struct source *source, struct walk *walk)
{
    return walk_make(walk, Py_XNewRef(source->kept));
}

static const struct value *find_once(struct source *source, struct walk *walk)
{
    if (source->kept == NULL) {
        source->kept = PyObject_CallOneArg(source->argument, walk->session);
    }
    return kept(source, walk);
}

static const struct value *find_second(struct source *source, struct walk *walk)
{
    if (source->kept == NULL || source->second != walk->now.tv_sec) {
        PyObject *second = PyLong_FromLongLong((long long) walk->now.tv_sec);
        PyObject *made = second == NULL ? NULL : PyObject_CallOneArg(source->argument, second);

        Py_XDECREF(second);
        Py_XSETREF(source->kept, made);
        source->second = walk->now.tv_sec;
    }
    return kept(source, walk);
}

static const struct value *find_millisecond(struct source *Py_UNUSED(source), struct walk *walk)
{
    unsigned int milliseconds = (unsigned int) walk->now.tv_nsec / 1000000;

    walk->text[0] = (char) ('0' + milliseconds / 100);
    walk->text[1] = (char) ('0' + milliseconds / 10 % 10);
    walk->text[2] = (char) ('0' + milliseconds % 10);
    return walk_make_text(walk, 3);
}

/* In the order of `Kind`; those before ASKED need a path. */
#define ASKED 6
static const finder finders[] = {
    NULL,         find_thousandth, find_difference, find_item,   find_result,
    find_spelled, find_asked,      find_once,       find_second, find_millisecond,
};

enum course source_judge(struct source *source, struct walk *walk)
{
    int wanted = source->when == NOWHERE ? 1 : value_is_true(walk_to(walk, source->when)), barred;

    if (wanted <= 0) {
        return wanted == 0 ? BARE : UNKNOWN;
    }
    barred = source->unless == NOWHERE ? 0 : value_is_true(walk_to(walk, source->unless));
    return barred < 0 ? UNKNOWN : barred ? ELSEWHERE : USED;
}

const struct value *source_instead(struct source *source, struct walk *walk, enum course course)
{
    if (course == UNKNOWN) {
        return &failed;
    }
    return course == BARE || source->otherwise == Py_None
               ? &nothing
               : walk_make(walk, PyObject_CallOneArg(source->otherwise, walk->session));
}

/* Takes an optional path. */
static int take_condition(struct nodes *nodes, int *node, PyObject *text)
{
    if (PyUnicode_Check(text) && PyUnicode_GET_LENGTH(text) == 0) {
        *node = NOWHERE;
        return 1;
    }
    *node = nodes_take(nodes, text);
    return *node != NOWHERE;
}

static int take_source(struct source *source, struct nodes *nodes, PyObject *description)
{
    PyObject *ways;
    int kind;

    if (!PyTuple_Check(description) || PyTuple_GET_SIZE(description) != FIELDS ||
        !PyTuple_Check(PyTuple_GET_ITEM(description, WAYS))) {
        return raised(PyExc_TypeError, "no source of a value");
    }
    ways = PyTuple_GET_ITEM(description, WAYS);
    source->argument = PyTuple_GET_ITEM(description, ARGUMENT);
    source->otherwise = PyTuple_GET_ITEM(description, OTHERWISE);
    if (!take_int(PyTuple_GET_ITEM(description, KIND), &kind)) {
        return 0;
    }
    if (kind < 0 || kind >= (int) (sizeof(finders) / sizeof(finders[0])) || PyTuple_GET_SIZE(ways) > PATHS ||
        (kind < ASKED && PyTuple_GET_SIZE(ways) == 0) ||
        (finders[kind] == find_item && !PyTuple_Check(source->argument))) {
        return raised(PyExc_ValueError, "no source of a value");
    }
    source->find = finders[kind];
    while (source->count < (int) PyTuple_GET_SIZE(ways)) {
        source->paths[source->count] = nodes_take(nodes, PyTuple_GET_ITEM(ways, source->count));
        if (source->paths[source->count] == NOWHERE) {
            return 0;
        }
        source->count++;
    }
    return take_condition(nodes, &source->when, PyTuple_GET_ITEM(description, WHEN)) &&
           take_condition(nodes, &source->unless, PyTuple_GET_ITEM(description, UNLESS));
}

struct source *sources_new(struct nodes *nodes, PyObject *parts, Py_ssize_t place)
{
    Py_ssize_t i, count = PyTuple_GET_SIZE(parts);
    struct source *sources = PyMem_Calloc((size_t) count + 1, sizeof(*sources)), *source;

    if (sources == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (i = 0, source = sources; i < count; i++, source++) {
        if (!take_source(source, nodes, PyTuple_GET_ITEM(PyTuple_GET_ITEM(parts, i), place))) {
            sources_free(sources, count);
            return NULL;
        }
        if (source->when != NOWHERE || source->unless != NOWHERE) {
            int same = i > 0 && source[-1].when == source->when && source[-1].unless == source->unless;

            source->conditions = same ? SAME : OTHER;
        }
    }
    return sources;
}

void sources_free(struct source *sources, Py_ssize_t count)
{
    Py_ssize_t i;

    for (i = 0; i < count; i++) {
        Py_XDECREF(sources[i].kept);
    }
    PyMem_Free(sources);
}

int sources_traverse(struct source *sources, Py_ssize_t count, visitproc visit, void *arg)
{
    Py_ssize_t i;

    for (i = 0; i < count; i++) {
        Py_VISIT(sources[i].kept);
    }
    return 0;
}
