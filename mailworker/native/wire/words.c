/* The words of IMAP's LOGIN, and commands to backends; wire/imap.py and wire/backend.py have the same in Python. */

#include "words.h"

#define LONGEST_TAG 100

static int take_tag(struct rest *rest, struct word *tag)
{
    static const unsigned char special[256] = {
        ['"'] = 1, ['%'] = 1, ['('] = 1, [')'] = 1, ['*'] = 1, ['+'] = 1, ['\\'] = 1, ['{'] = 1,
    };

    tag->bytes = rest->at;
    while (rest->at < rest->end && *rest->at > ' ' && *rest->at < 0x7f && !special[(unsigned char) *rest->at]) {
        rest->at++;
    }
    tag->length = rest->at - tag->bytes;
    return tag->length > 0 && tag->length <= LONGEST_TAG;
}

/* Takes a quoted string without quotes and backslashes in it, or an atom. */
static int take_string(struct rest *rest, struct word *word)
{
    if (!is_next(rest, '"')) {
        return !is_next(rest, '{') && take_until(rest, word, ' ', '\r', '\r');
    }
    rest->at++;
    return take_until(rest, word, '"', '\\', '\r') && is_next(rest, '"') && rest->at++;
}

static int take_space(struct rest *rest)
{
    return is_next(rest, ' ') && rest->at++;
}

PyObject *tuple_of(const struct word *words, int count)
{
    PyObject *tuple = PyTuple_New(count);
    int i;

    for (i = 0; tuple != NULL && i < count; i++) {
        PyObject *word = PyBytes_FromStringAndSize(words[i].bytes, words[i].length);

        if (word == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, i, word);
        }
    }
    return tuple;
}

static PyObject *login_words(PyObject *Py_UNUSED(module), PyObject *line)
{
    struct word words[3];
    struct rest rest;
    Py_ssize_t length;
    char *bytes;

    if (PyBytes_AsStringAndSize(line, &bytes, &length) < 0) {
        return NULL;
    }
    rest = (struct rest){bytes, bytes + length};
    if (!(take_tag(&rest, &words[0]) && TAKE(&rest, " LOGIN ") && take_string(&rest, &words[1]) && take_space(&rest) &&
          take_string(&rest, &words[2]) && is_end(&rest))) {
        Py_RETURN_NONE;
    }
    return tuple_of(words, 3);
}

static char *put(char *at, const char *bytes, Py_ssize_t length)
{
    memcpy(at, bytes, (size_t) length);
    return at + length;
}

static char *put_bytes(char *at, PyObject *bytes)
{
    return put(at, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
}

/* Writes the end of a line before `end`, after " {5}" for a literal, or " {5+}" for one that need not wait. */
static char *put_announcement(char *end, Py_ssize_t length, int at_once)
{
    char *at = end;

    *--at = '\n';
    *--at = '\r';
    *--at = '}';
    if (at_once) {
        *--at = '+';
    }
    do {
        *--at = (char) ('0' + length % 10);
        length /= 10;
    } while (length > 0);
    *--at = '{';
    *--at = ' ';
    return at;
}

/* A piece of a command: bytes, text, and the announcement of a literal with the bytes `next`, NULL for a line's end. */
static PyObject *piece(PyObject *first, const char *text, PyObject *next)
{
    char room[32], *end = room + sizeof(room), *at;
    Py_ssize_t before = (Py_ssize_t) strlen(text);
    PyObject *made;

    at = next == NULL ? memcpy(end - 2, "\r\n", 2) : put_announcement(end, PyBytes_GET_SIZE(next), 0);
    made = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(first) + before + (end - at));
    if (made != NULL) {
        (void) put(put(put_bytes(PyBytes_AS_STRING(made), first), text, before), at, end - at);
    }
    return made;
}

static int has_nul(PyObject *bytes)
{
    return memchr(PyBytes_AS_STRING(bytes), '\0', (size_t) PyBytes_GET_SIZE(bytes)) != NULL;
}

/* Reads so many texts, and `most` after them; gives 0 with an exception set if they are not that. */
static int take_arguments(PyObject *const *arguments, Py_ssize_t given, Py_ssize_t texts, Py_ssize_t *most)
{
    Py_ssize_t i;

    if (!counted(given, texts + 1)) {
        return 0;
    }
    for (i = 0; i < texts; i++) {
        if (!PyBytes_Check(arguments[i])) {
            return raised(PyExc_TypeError, "all but the most bytes must be bytes");
        }
    }
    *most = PyLong_AsSsize_t(arguments[texts]);
    return *most != -1 || !PyErr_Occurred();
}

static PyObject *login_pieces(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *tag, *name, *secret, *pieces[3], *made = NULL;
    Py_ssize_t length = 0, most;
    int i;

    if (!take_arguments(arguments, given, 3, &most)) {
        return NULL;
    }
    tag = arguments[0], name = arguments[1], secret = arguments[2];
    pieces[0] = piece(tag, " LOGIN", name);
    pieces[1] = piece(name, "", secret);
    pieces[2] = piece(secret, "", NULL);
    for (i = 0; i < 3; i++) {
        length += pieces[i] == NULL ? 0 : PyBytes_GET_SIZE(pieces[i]);
    }
    if (!PyErr_Occurred()) {
        made = has_nul(name) || has_nul(secret) || length > most ? Py_NewRef(Py_None)
                                                                 : PyTuple_Pack(3, pieces[0], pieces[1], pieces[2]);
    }
    for (i = 0; i < 3; i++) {
        Py_XDECREF(pieces[i]);
    }
    return made;
}

static PyObject *login_at_once(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    static const char login[] = " LOGIN";
    char room[2][32], *ends[2] = {room[0] + sizeof(room[0]), room[1] + sizeof(room[1])}, *starts[2], *at;
    PyObject *tag, *name, *secret, *made;
    Py_ssize_t length, most;

    if (!take_arguments(arguments, given, 3, &most)) {
        return NULL;
    }
    tag = arguments[0], name = arguments[1], secret = arguments[2];
    starts[0] = put_announcement(ends[0], PyBytes_GET_SIZE(name), 1);
    starts[1] = put_announcement(ends[1], PyBytes_GET_SIZE(secret), 1);
    length = PyBytes_GET_SIZE(tag) + (Py_ssize_t) sizeof(login) - 1 + (ends[0] - starts[0]) + PyBytes_GET_SIZE(name) +
             (ends[1] - starts[1]) + PyBytes_GET_SIZE(secret) + 2;
    if (has_nul(name) || has_nul(secret) || length > most) {
        Py_RETURN_NONE;
    }
    made = PyBytes_FromStringAndSize(NULL, length);
    if (made != NULL) {
        at = put(put_bytes(PyBytes_AS_STRING(made), tag), login, (Py_ssize_t) sizeof(login) - 1);
        at = put_bytes(put(at, starts[0], ends[0] - starts[0]), name);
        at = put_bytes(put(at, starts[1], ends[1] - starts[1]), secret);
        (void) put(at, "\r\n", 2);
    }
    return made;
}

/* Whether a text has no byte that ends a line, or is read as its end. */
static int fits_into_line(PyObject *text)
{
    const char *at = PyBytes_AS_STRING(text), *end = at + PyBytes_GET_SIZE(text);

    while (at < end && *at != '\0' && *at != '\r' && *at != '\n') {
        at++;
    }
    return at == end;
}

static PyObject *command_line(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *line;

    if (!counted(given, 2)) {
        return NULL;
    }
    if (!PyBytes_Check(arguments[0]) || !PyBytes_Check(arguments[1])) {
        return PyErr_Format(PyExc_TypeError, "command_line(verb, text)");
    }
    if (!fits_into_line(arguments[1])) {
        Py_RETURN_NONE;
    }
    line = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(arguments[0]) + PyBytes_GET_SIZE(arguments[1]) + 2);
    if (line != NULL) {
        (void) put(put_bytes(put_bytes(PyBytes_AS_STRING(line), arguments[0]), arguments[1]), "\r\n", 2);
    }
    return line;
}

/* Writes bytes in base64 at `at`; `bits` are the last `taken` ones, of three. */
struct base64 {
    char *at;
    unsigned bits;
    int taken;
};

static void put_base64(struct base64 *self, const char *bytes, Py_ssize_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    Py_ssize_t i;
    int shift;

    for (i = 0; i < length; i++) {
        self->bits = self->bits << 8 | (unsigned char) bytes[i];
        self->taken = (self->taken + 1) % 3;
        for (shift = 18; self->taken == 0 && shift >= 0; shift -= 6) {
            *self->at++ = digits[self->bits >> shift & 63];
        }
    }
}

/* Writes what is left, and the padding. */
static void end_base64(struct base64 *self)
{
    int padding = (3 - self->taken) % 3;

    put_base64(self, "\0\0", padding);
    memset(self->at - padding, '=', (size_t) padding);
}

static PyObject *auth_plain(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *before, *name, *secret, *after, *line;
    Py_ssize_t length, most;

    if (!take_arguments(arguments, given, 4, &most)) {
        return NULL;
    }
    before = arguments[0], name = arguments[1], secret = arguments[2], after = arguments[3];
    length = PyBytes_GET_SIZE(before) + (PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(secret) + 4) / 3 * 4 +
             PyBytes_GET_SIZE(after);
    if (length > most || !fits_into_line(name) || !fits_into_line(secret)) {
        Py_RETURN_NONE;
    }
    line = PyBytes_FromStringAndSize(NULL, length);
    if (line != NULL) {
        struct base64 response = {put_bytes(PyBytes_AS_STRING(line), before), 0, 0};

        put_base64(&response, "", 1);
        put_base64(&response, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name));
        put_base64(&response, "", 1);
        put_base64(&response, PyBytes_AS_STRING(secret), PyBytes_GET_SIZE(secret));
        end_base64(&response);
        (void) put_bytes(response.at, after);
    }
    return line;
}

PyMethodDef word_functions[] = {
    {"login_words", login_words, METH_O,
     "login_words(line): tag, name and password of a LOGIN; None for any other or unusual line."},
    {"login_pieces", FAST(login_pieces),
     "login_pieces(tag, name, secret, most): LOGIN with literals in three pieces; None if it may not be sent."},
    {"login_at_once", FAST(login_at_once),
     "login_at_once(tag, name, secret, most): LOGIN with literals that need not wait; None if it may not be sent."},
    {"command_line", FAST(command_line),
     "command_line(verb, text): both with CRLF; None if the text does not fit into a line."},
    {"auth_plain", FAST(auth_plain),
     "auth_plain(before, name, secret, after, most): the response of PLAIN in a line; None if it may not be sent."},
    {NULL, NULL, 0, NULL},
};
