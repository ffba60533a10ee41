/* Lines of access logs, and session ids; variables/line.py and mail/session_id.py have the same in Python. */

#include "source.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define USUAL_LENGTH 1024 /* a longer line needs memory of its own */

/* The text that was written so far. */
struct text {
    char *bytes;
    size_t length, size;
    char usual[USUAL_LENGTH];
};

/* A value of a line: text around it and instead of it, the function that escapes other bytes, and its source. */
enum { BEFORE, AFTER, ABSENT, WRITTEN, SOURCE, FIELDS };

/* Bytes of an object that lives as long as the line. */
struct bytes {
    const char *start; /* NULL for none */
    size_t length;
};

struct part {
    struct bytes before, after, absent;
    PyObject *written; /* NULL for none */
};

struct line {
    PyObject_HEAD
    PyObject *given; /* a tuple of tuples of FIELDS, which own the objects in the parts */
    PyObject *last;
    Py_ssize_t count;
    struct part *parts;
    struct source *sources; /* of the parts; NULL where they have none */
};

static char *enlarge(struct text *text, size_t length)
{
    size_t wanted = 2 * (text->length + length);
    char *larger = PyMem_Realloc(text->bytes == text->usual ? NULL : text->bytes, wanted);

    if (larger == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (text->bytes == text->usual) {
        memcpy(larger, text->usual, text->length);
    }
    text->bytes = larger;
    text->size = wanted;
    return text->bytes + text->length;
}

static inline char *make_room(struct text *text, size_t length)
{
    return length > text->size - text->length ? enlarge(text, length) : text->bytes + text->length;
}

/* Most texts are so short that calling memcpy() takes longer than the copy; with a fixed length it is no call. */
static inline void copy(char *to, const char *from, size_t length)
{
    if (length > 16) {
        memcpy(to, from, length);
    } else if (length >= 8) {
        memcpy(to, from, 8);
        memcpy(to + length - 8, from + length - 8, 8);
    } else if (length >= 4) {
        memcpy(to, from, 4);
        memcpy(to + length - 4, from + length - 4, 4);
    } else if (length > 0) {
        to[0] = from[0];
        to[length / 2] = from[length / 2];
        to[length - 1] = from[length - 1];
    }
}

static inline int add(struct text *text, const char *bytes, size_t length)
{
    char *place = make_room(text, length);

    if (place != NULL) {
        copy(place, bytes, length);
        text->length += length;
    }
    return place != NULL;
}

static inline int add_bytes(struct text *text, PyObject *bytes)
{
    return add(text, PyBytes_AS_STRING(bytes), (size_t) PyBytes_GET_SIZE(bytes));
}

/* Adds the result of a call, and drops it: bytes, or NULL with an exception. */
static int add_result(struct text *text, PyObject *bytes)
{
    int went_well = bytes != NULL && PyBytes_Check(bytes) && add_bytes(text, bytes);

    if (!went_well && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "bytes are wanted");
    }
    Py_XDECREF(bytes);
    return went_well;
}

static int add_digits(struct text *text, unsigned long long number)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char) ('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return add(text, digits + at, sizeof(digits) - at);
}

static int add_integer(struct text *text, PyObject *value)
{
    int overflow, went_well;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    PyObject *digits;

    if (number >= 0 && !overflow) {
        return add_digits(text, (unsigned long long) number);
    }
    digits = PyNumber_ToBase(value, 10);
    went_well = digits != NULL && add_result(text, PyUnicode_AsLatin1String(digits));
    Py_XDECREF(digits);
    return went_well;
}

/* Adds a number with three decimals, rounded as Python does; where it is too near a half, Python rounds it. */
static int add_real(struct text *text, double value)
{
    double scaled = value * 1000, rest;
    unsigned long long number;
    char *decimals, *written;
    int went_well;

    number = value > 0 && value < 1e6 ? (unsigned long long) scaled : 0;
    rest = signbit(value) ? -1 : scaled - (double) number;
    if (rest >= 0 && rest < 1 && fabs(rest - 0.5) > 1e-6) {
        number += rest > 0.5;
        if (!add_digits(text, number / 1000) || (decimals = make_room(text, 4)) == NULL) {
            return 0;
        }
        number %= 1000;
        decimals[0] = '.';
        decimals[1] = (char) ('0' + number / 100);
        decimals[2] = (char) ('0' + number / 10 % 10);
        decimals[3] = (char) ('0' + number % 10);
        text->length += 4;
        return 1;
    }
    written = PyOS_double_to_string(value, 'f', 3, 0, NULL);
    went_well = written != NULL && add(text, written, strlen(written));
    PyMem_Free(written);
    return went_well;
}

/* Whether all bytes are visible ASCII that no form of output escapes. */
static int is_plain(const unsigned char *bytes, Py_ssize_t length)
{
    static const unsigned char plain[256] = {
        ['!'] = 1,
        ['#' ... '$'] = 1,
        ['&' ... '['] = 1,
        [']' ... '~'] = 1,
    };
    Py_ssize_t i;

    for (i = 0; i < length; i++) {
        if (!plain[bytes[i]]) {
            return 0;
        }
    }
    return 1;
}

static int add_value(struct text *text, PyObject *value, PyObject *written)
{
    if (PyBytes_Check(value)) {
        if (written == NULL || is_plain((const unsigned char *) PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))) {
            return add_bytes(text, value);
        }
        return add_result(text, PyObject_CallOneArg(written, value));
    }
    if (PyUnicode_Check(value)) {
        if (PyUnicode_IS_COMPACT_ASCII(value)) {
            return add(text, PyUnicode_DATA(value), (size_t) PyUnicode_GET_LENGTH(value));
        }
        return add_result(text, PyUnicode_AsLatin1String(value));
    }
    if (PyLong_Check(value)) {
        return add_integer(text, value);
    }
    if (PyFloat_Check(value)) {
        return add_real(text, PyFloat_AS_DOUBLE(value));
    }
    PyErr_Format(PyExc_TypeError, "a %s is no value of a line", Py_TYPE(value)->tp_name);
    return 0;
}

static inline int add_kept(struct text *text, const struct bytes *bytes)
{
    return add(text, bytes->start, bytes->length);
}

/* Writes a value that is not empty, and the text around it. */
static inline int add_there(struct text *text, const struct part *part, PyObject *value)
{
    return add_kept(text, &part->before) && add_value(text, value, part->written) && add_kept(text, &part->after);
}

/* Writes the text that stands instead of a value, if there is one. */
static inline int add_absent(struct text *text, const struct part *part)
{
    return part->absent.start == NULL ||
           (add_kept(text, &part->before) && add_kept(text, &part->absent) && add_kept(text, &part->after));
}

/* Writes the value that the source of a part has found. */
static int add_found(struct text *text, const struct part *part, enum found found, const struct value *value)
{
    switch (found) {
    case FAILED:
        return 0;
    case NOTHING:
        return add_absent(text, part);
    case OBJECT:
        return add_there(text, part, value->object);
    default:
        return add_kept(text, &part->before) &&
               (found == REAL ? add_real(text, value->real) : add_digits(text, value->whole)) &&
               add_kept(text, &part->after);
    }
}

static void begin(struct text *text)
{
    text->bytes = text->usual;
    text->length = 0;
    text->size = sizeof(text->usual);
}

/* The bytes of a line after its parts were written; NULL where one of them failed. */
static PyObject *finish(struct text *text, struct line *line, int went_well)
{
    PyObject *result = NULL;

    if (went_well && add_bytes(text, line->last)) {
        result = PyBytes_FromStringAndSize(text->bytes, (Py_ssize_t) text->length);
    }
    if (text->bytes != text->usual) {
        PyMem_Free(text->bytes);
    }
    return result;
}

static PyObject *line_text(struct line *self, PyObject *const *values, Py_ssize_t count)
{
    struct text text; /* not initialised, which would set 1 KB to 0 */
    Py_ssize_t i = 0;

    if (!counted(count, self->count)) {
        return NULL;
    }
    begin(&text);
    while (i < count &&
           (values[i] == Py_None ? add_absent(&text, &self->parts[i]) : add_there(&text, &self->parts[i], values[i]))) {
        i++;
    }
    return finish(&text, self, i == count);
}

/* Writes the parts of a line with the values of a session. */
static int compose(struct text *text, struct line *self, PyObject *session)
{
    struct timespec now;
    struct conditions conditions;
    struct value value;
    Py_ssize_t i;
    int went_well = 1;

    if (self->sources == NULL && self->count > 0) {
        PyErr_SetString(PyExc_TypeError, "a value has no source");
        return 0;
    }
    (void) clock_gettime(CLOCK_REALTIME, &now);
    for (i = 0; i < self->count && went_well; i++) {
        enum found found = source_value(self->sources, i, session, &now, &conditions, &value);

        went_well = add_found(text, &self->parts[i], found, &value);
        Py_XDECREF(value.object);
    }
    return went_well;
}

static PyObject *line_of(struct line *self, PyObject *session)
{
    struct text text;

    begin(&text);
    return finish(&text, self, compose(&text, self, session));
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
    begin(&text);
    if (compose(&text, self, session) && add_bytes(&text, self->last)) {
        *taken = direct_write(direct, text.bytes, text.length);
        whole = *taken == (Py_ssize_t) text.length;
        if (*taken < 0) {
            *error = take_exception();
            *taken = 0;
        }
        if (!whole) {
            *rest = PyBytes_FromStringAndSize(text.bytes, (Py_ssize_t) text.length);
        }
    }
    if (text.bytes != text.usual) {
        PyMem_Free(text.bytes);
    }
    return whole;
}

static int is_part(PyObject *part)
{
    return PyTuple_Check(part) && PyTuple_GET_SIZE(part) == FIELDS && PyBytes_Check(PyTuple_GET_ITEM(part, BEFORE)) &&
           PyBytes_Check(PyTuple_GET_ITEM(part, AFTER)) &&
           (PyTuple_GET_ITEM(part, ABSENT) == Py_None || PyBytes_Check(PyTuple_GET_ITEM(part, ABSENT)));
}

static struct bytes kept(PyObject *bytes)
{
    struct bytes found = {NULL, 0};

    if (bytes != Py_None) {
        found.start = PyBytes_AS_STRING(bytes);
        found.length = (size_t) PyBytes_GET_SIZE(bytes);
    }
    return found;
}

/* Takes the parts of a line from its argument. */
static int take_parts(struct line *self)
{
    Py_ssize_t i;

    self->parts = PyMem_Calloc((size_t) self->count + 1, sizeof(*self->parts));
    if (self->parts == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (i = 0; i < self->count; i++) {
        PyObject *fields = PyTuple_GET_ITEM(self->given, i);
        struct part *part = &self->parts[i];

        if (!is_part(fields)) {
            PyErr_SetString(PyExc_TypeError, "no part of a line");
            return 0;
        }
        part->before = kept(PyTuple_GET_ITEM(fields, BEFORE));
        part->after = kept(PyTuple_GET_ITEM(fields, AFTER));
        part->absent = kept(PyTuple_GET_ITEM(fields, ABSENT));
        part->written = PyTuple_GET_ITEM(fields, WRITTEN) == Py_None ? NULL : PyTuple_GET_ITEM(fields, WRITTEN);
    }
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
    self->last = Py_NewRef(last);
    self->count = PyTuple_GET_SIZE(given);
    if (!take_parts(self)) {
        Py_CLEAR(self);
    } else if (self->count > 0 && PyTuple_GET_ITEM(PyTuple_GET_ITEM(given, 0), SOURCE) != Py_None) {
        self->sources = sources_new(given, SOURCE);
        if (self->sources == NULL) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *) self;
}

static int line_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct line *self = (struct line *) object;

    Py_VISIT(self->given);
    Py_VISIT(self->last);
    return self->sources == NULL ? 0 : sources_traverse(self->sources, self->count, visit, arg);
}

static int line_clear(PyObject *object)
{
    struct line *self = (struct line *) object;
    struct source *sources = self->sources;

    self->sources = NULL;
    if (sources != NULL) {
        sources_free(sources, self->count);
    }
    PyMem_Free(self->parts);
    self->parts = NULL;
    self->count = 0;
    Py_CLEAR(self->given);
    Py_CLEAR(self->last);
    return 0;
}

static void line_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    (void) line_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef line_methods[] = {
    {"text", FAST(line_text), "text(*values): the bytes of the line."},
    {"of", (PyCFunction) line_of, METH_O, "of(session): the line with the values of a session, each from its source."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject line_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._core.Line",
    .tp_basicsize = sizeof(struct line),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "Line(parts, last): the literals around values; `last` is the text after the last value.",
    .tp_new = line_new,
    .tp_traverse = line_traverse,
    .tp_clear = line_clear,
    .tp_dealloc = line_dealloc,
    .tp_methods = line_methods,
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static PyObject *packed_id(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    char id[16];
    uint64_t time, parts[2]; /* the first and the last 6 bytes */
    unsigned long long process, number;
    double began, accepted;
    int i;

    if (!counted(count, 4)) {
        return NULL;
    }
    began = PyFloat_AsDouble(arguments[0]);
    process = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLongLongMask(arguments[1]);
    accepted = PyErr_Occurred() ? 0 : PyFloat_AsDouble(arguments[2]);
    number = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLongLongMask(arguments[3]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    time = (uint64_t) (int64_t) (began + accepted * 1000);
    parts[0] = time & 0xFFFFFFFFFFFF;
    parts[1] = (process & 0xFFFF) << 32 | (number & 0xFFFFFFFF);
    for (i = 0; i < 16; i++) {
        id[i] = alphabet[parts[i / 8] >> (42 - 6 * (i % 8)) & 63];
    }
    return PyBytes_FromStringAndSize(id, sizeof(id));
}

PyMethodDef line_functions[] = {
    {"packed_id", FAST(packed_id), "packed_id(began, process, accepted, number): the bytes of a session's id."},
    {NULL, NULL, 0, NULL},
};
