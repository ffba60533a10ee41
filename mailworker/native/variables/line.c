/* Lines of access logs; variables/line.py has the same in Python. */

#include "core.h"
#include "line.h"
#include "source.h"
#include "text.h"

/* A value of a line: text around it and instead of it, the function that escapes other bytes, and its source. */
enum { BEFORE, AFTER, ABSENT, WRITTEN, SOURCE, FIELDS };

struct part {
    struct literal before, after, absent;
    size_t room;       /* for what is around a number or a short text, and for that */
    PyObject *written; /* NULL for none */
};

struct line {
    PyObject_HEAD
    PyObject *given; /* a tuple of tuples of FIELDS, which own the objects in the parts */
    struct literal last;
    Py_ssize_t count;
    struct part *parts;
    char *literals;         /* the bytes of all literals, and the slack */
    struct source *sources; /* of the parts */
    struct nodes nodes;     /* of the sources */
};

/* Writes the text that stands instead of a value, if there is one. */
static int add_absent(struct text *text, const struct part *part)
{
    return part->absent.start == NULL ||
           (text_add_literal(text, &part->before) && text_add_literal(text, &part->absent) &&
            text_add_literal(text, &part->after));
}

/* Writes a value where a number has room; gives its end, with room for what is after it, or NULL with an exception. */
static inline char *put_value(struct text *text, const struct part *part, const struct value *value, char *place)
{
    if (value->found == WHOLE) {
        return put_whole(place, value->whole);
    }
    if (value->found == TEXT) {
        memcpy(place, value->text, sizeof(((struct walk *) NULL)->text));
        return place + value->length;
    }
    text->end = place;
    return (value->found == OBJECT ? text_add_object(text, value->object, part->written)
                                   : text_add_real(text, value->real))
               ? text_room(text, part->after.length)
               : NULL;
}

/* Writes a value of a session, and the text around it. */
static inline int add_value(struct text *text, const struct part *part, const struct value *value)
{
    char *place;

    if (value->found == NOTHING) {
        return add_absent(text, part);
    }
    place = value->found == FAILED ? NULL : text_room(text, part->room);
    place = place == NULL ? NULL : put_value(text, part, value, put_literal(place, &part->before));
    if (place == NULL) {
        return 0;
    }
    text->end = put_literal(place, &part->after);
    return 1;
}

/* Writes a line with the values of a session. */
static int compose(struct text *text, struct line *self, PyObject *session)
{
    struct walk walk;
    Py_ssize_t i;
    int went_well = 1;

    walk_begin(&walk, &self->nodes, session);
    for (i = 0; i < self->count && went_well; i++) {
        went_well = add_value(text, &self->parts[i], source_value(&self->sources[i], &walk));
    }
    walk_end(&walk);
    return went_well && text_add_literal(text, &self->last);
}

static PyObject *line_of(struct line *self, PyObject *session)
{
    struct text text; /* not initialised, which would set 1 KB to 0 */
    PyObject *result = NULL;

    text_begin(&text);
    if (compose(&text, self, session)) {
        result = PyBytes_FromStringAndSize(text.start, (Py_ssize_t) text_length(&text));
    }
    text_free(&text);
    return result;
}

PyObject *line_behind(PyObject *function)
{
    int is_of = PyCFunction_CheckExact(function) && PyCFunction_GET_FUNCTION(function) == (PyCFunction) line_of;

    return is_of ? PyCFunction_GET_SELF(function) : NULL;
}

int line_write(PyObject *line, PyObject *session, PyObject *direct, PyObject **rest, Py_ssize_t *taken,
               PyObject **error)
{
    struct line *self = (struct line *) line;
    struct text text;
    int whole = 0;

    *rest = *error = NULL;
    *taken = 0;
    text_begin(&text);
    if (compose(&text, self, session)) {
        *taken = direct_write(direct, text.start, text_length(&text));
        whole = *taken == (Py_ssize_t) text_length(&text);
        if (*taken < 0) {
            *error = take_exception();
            *taken = 0;
        }
        if (!whole) {
            *rest = PyBytes_FromStringAndSize(text.start, (Py_ssize_t) text_length(&text));
        }
    }
    text_free(&text);
    return whole;
}

static int is_part(PyObject *part)
{
    return PyTuple_Check(part) && PyTuple_GET_SIZE(part) == FIELDS && PyBytes_Check(PyTuple_GET_ITEM(part, BEFORE)) &&
           PyBytes_Check(PyTuple_GET_ITEM(part, AFTER)) &&
           (PyTuple_GET_ITEM(part, ABSENT) == Py_None || PyBytes_Check(PyTuple_GET_ITEM(part, ABSENT)));
}

/* The length of bytes, 0 for None. */
static size_t length_of(PyObject *bytes)
{
    return bytes == Py_None ? 0 : (size_t) PyBytes_GET_SIZE(bytes);
}

/* Copies a literal to a place, which it moves behind it; None is none. */
static struct literal kept(PyObject *bytes, char **place)
{
    struct literal literal = {NULL, length_of(bytes)};

    if (bytes != Py_None) {
        literal.start = *place;
        memcpy(*place, PyBytes_AS_STRING(bytes), literal.length);
        *place += literal.length;
    }
    return literal;
}

/* Checks the parts, and gives the length of their literals; -1 with an exception. */
static Py_ssize_t measured(PyObject *given)
{
    Py_ssize_t i, length = 0;

    for (i = 0; i < PyTuple_GET_SIZE(given); i++) {
        PyObject *fields = PyTuple_GET_ITEM(given, i);

        if (!is_part(fields)) {
            PyErr_SetString(PyExc_TypeError, "no part of a line");
            return -1;
        }
        length +=
            (Py_ssize_t) (length_of(PyTuple_GET_ITEM(fields, BEFORE)) + length_of(PyTuple_GET_ITEM(fields, AFTER)) +
                          length_of(PyTuple_GET_ITEM(fields, ABSENT)));
    }
    return length;
}

/* Takes the parts of a line from its arguments. */
static int take_parts(struct line *self, PyObject *last)
{
    Py_ssize_t i, length = measured(self->given);
    char *place;

    if (length < 0) {
        return 0;
    }
    self->parts = PyMem_Calloc((size_t) self->count + 1, sizeof(*self->parts));
    place = self->literals = PyMem_Calloc((size_t) (length + PyBytes_GET_SIZE(last) + SLACK), 1);
    if (self->parts == NULL || self->literals == NULL) {
        return done(PyErr_NoMemory());
    }
    for (i = 0; i < self->count; i++) {
        PyObject *fields = PyTuple_GET_ITEM(self->given, i);
        struct part *part = &self->parts[i];

        part->before = kept(PyTuple_GET_ITEM(fields, BEFORE), &place);
        part->after = kept(PyTuple_GET_ITEM(fields, AFTER), &place);
        part->absent = kept(PyTuple_GET_ITEM(fields, ABSENT), &place);
        part->room = part->before.length + DIGITS + part->after.length;
        part->written = PyTuple_GET_ITEM(fields, WRITTEN) == Py_None ? NULL : PyTuple_GET_ITEM(fields, WRITTEN);
    }
    self->last = kept(last, &place);
    return 1;
}

static PyObject *line_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(names))
{
    PyObject *given, *last;
    struct line *self;

    if (!PyArg_ParseTuple(arguments, "OS", &given, &last) || (given = PySequence_Tuple(given)) == NULL) {
        return NULL;
    }
    self = (struct line *) type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(given);
        return NULL;
    }
    self->given = given;
    self->count = PyTuple_GET_SIZE(given);
    if (!take_parts(self, last) || (self->sources = sources_new(&self->nodes, given, SOURCE)) == NULL) {
        Py_CLEAR(self);
    }
    return (PyObject *) self;
}

static int line_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct line *self = (struct line *) object;

    Py_VISIT(self->given);
    if (self->sources != NULL) {
        int visited = sources_traverse(self->sources, self->count, visit, arg);

        return visited != 0 ? visited : nodes_traverse(&self->nodes, visit, arg);
    }
    return 0;
}

static int line_clear(PyObject *object)
{
    struct line *self = (struct line *) object;
    struct source *sources = self->sources;

    self->sources = NULL;
    if (sources != NULL) {
        sources_free(sources, self->count);
    }
    nodes_free(&self->nodes);
    PyMem_Free(self->parts);
    PyMem_Free(self->literals);
    self->parts = NULL;
    self->literals = NULL;
    self->last = (struct literal){NULL, 0};
    self->count = 0;
    Py_CLEAR(self->given);
    return 0;
}

static void line_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    (void) line_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef line_methods[] = {
    {"of", (PyCFunction) line_of, METH_O, "of(session): the line with the values of a session, each from its source."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject line_type = {
    COLLECTED_TYPE("Line", line,
                   "Line(parts, last): the literals around values; `last` is the text after the last value.", 0),
    .tp_new = line_new,
    .tp_methods = line_methods,
};
