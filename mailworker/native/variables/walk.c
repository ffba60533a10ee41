/* The paths of a line, followed in one session: an attribute is read once, however many paths lead through it. */

#include "walk.h"

#include <string.h>

/* Adds a node, unless there is the same already. */
static int take_node(struct nodes *nodes, int from, PyObject *name)
{
    struct node *all;
    int i;

    for (i = 0; i < nodes->count; i++) {
        if (nodes->all[i].from == from && nodes->all[i].step.name == name) {
            return i;
        }
    }
    if (i == NODES) {
        PyErr_SetString(PyExc_ValueError, "a line has too many paths");
        return NOWHERE;
    }
    all = PyMem_Realloc(nodes->all, (size_t) (i + 1) * sizeof(*all));
    if (all == NULL) {
        PyErr_NoMemory();
        return NOWHERE;
    }
    all[i] = (struct node){.from = from, .step = {.name = Py_NewRef(name)}};
    nodes->all = all;
    nodes->count = i + 1;
    return i;
}

int nodes_take(struct nodes *nodes, PyObject *text)
{
    struct path path = {0};
    int node = NOWHERE, i;

    if (path_take(&path, text)) {
        for (i = 0; i < path.length && (i == 0 || node != NOWHERE); i++) {
            node = take_node(nodes, node, path.steps[i].name);
        }
    }
    for (i = 0; i < path.length; i++) {
        step_free(&path.steps[i]);
    }
    return node;
}

void nodes_free(struct nodes *nodes)
{
    int i;

    for (i = 0; i < nodes->count; i++) {
        step_free(&nodes->all[i].step);
    }
    PyMem_Free(nodes->all);
    nodes->all = NULL;
    nodes->count = 0;
}

int nodes_traverse(struct nodes *nodes, visitproc visit, void *arg)
{
    int i;

    for (i = 0; i < nodes->count; i++) {
        Py_VISIT(nodes->all[i].step.type);
    }
    return 0;
}

void walk_begin(struct walk *walk, struct nodes *nodes, PyObject *session)
{
    walk->nodes = nodes;
    walk->session = session;
    walk->made.found = NOTHING;
    walk->holds = 0;
    memset(walk->values, 0, (size_t) nodes->count * sizeof(walk->values[0]));
    (void) clock_gettime(CLOCK_REALTIME, &walk->now);
}

static void forget(struct value *value)
{
    if (value->found == OBJECT) {
        value->found = NOTHING;
        Py_DECREF(value->object);
    }
}

void walk_end(struct walk *walk)
{
    while (walk->holds > 0) {
        walk->holds--;
        Py_DECREF(walk->held[walk->holds]);
    }
    forget(&walk->made);
}

/* Takes what is at a place, as the kind of the step says; 0 where there is nothing. */
static inline int take_from(struct walk *walk, struct value *value, const void *place, int kind)
{
    if (!value_read(value, place, kind)) {
        return 0;
    }
    if (value->found == OBJECT) {
        walk->held[walk->holds++] = Py_NewRef(value->object);
    }
    return 1;
}

/* Takes the object whose attribute is at a node, borrowed; else the value is the same as at the node before. */
static PyObject *origin(struct walk *walk, int from, struct value *value)
{
    const struct value *before;

    if (from == NOWHERE) {
        return walk->session;
    }
    before = walk_to(walk, from);
    value->found = before->found;
    if (before->found == REAL || before->found == WHOLE) {
        value->found = FAILED;
        PyErr_SetString(PyExc_AttributeError, "a number has no attributes");
    }
    return before->found == OBJECT ? before->object : NULL;
}

/* Reads any value. If it was inlined, walk_read() would save registers for its calls. */
__attribute__((noinline)) static const struct value *read_any(struct walk *walk, int number)
{
    struct node *node = &walk->nodes->all[number];
    struct value *value = &walk->values[number];
    PyObject *object = origin(walk, node->from, value);

    if (object != NULL) {
        const void *place = step_slot(&node->step, object); /* sets the kind, too */

        if (!take_from(walk, value, place, node->step.kind)) {
            value_set(value, step_look_up(&node->step, object));
            if (value->object != NULL) {
                walk->held[walk->holds++] = value->object;
            }
        }
    }
    return value;
}

/* Most values are in slots of objects whose types were seen before: to read these takes no call. */
const struct value *walk_read(struct walk *walk, int number)
{
    struct node *node = &walk->nodes->all[number];
    struct value *value = &walk->values[number];
    PyObject *object = walk->session;

    if (node->from != NOWHERE) {
        const struct value *before = &walk->values[node->from];

        if (before->found == NOTHING) {
            return before;
        }
        if (before->found != OBJECT) {
            return read_any(walk, number);
        }
        object = before->object;
    }
    if (node->step.type != Py_TYPE(object) ||
        !take_from(walk, value, (char *) object + node->step.slot, node->step.kind)) {
        return read_any(walk, number);
    }
    return value;
}

const struct value *walk_make(struct walk *walk, PyObject *object)
{
    forget(&walk->made);
    value_set(&walk->made, object);
    if (walk->made.found == NOTHING) {
        Py_DECREF(object);
    }
    return &walk->made;
}

const struct value *walk_make_real(struct walk *walk, double real)
{
    forget(&walk->made);
    walk->made.real = real;
    walk->made.found = REAL;
    return &walk->made;
}

const struct value *walk_make_text(struct walk *walk, unsigned int length)
{
    forget(&walk->made);
    walk->made.text = walk->text;
    walk->made.length = length;
    walk->made.found = TEXT;
    return &walk->made;
}

PyObject *value_object(const struct value *value)
{
    switch (value->found) {
    case FAILED:
        return NULL;
    case NOTHING:
        return Py_NewRef(Py_None);
    case REAL:
        return PyFloat_FromDouble(value->real);
    case WHOLE:
        return PyLong_FromUnsignedLongLong(value->whole);
    case TEXT:
        return PyBytes_FromStringAndSize(value->text, value->length);
    default:
        return Py_NewRef(value->object);
    }
}
