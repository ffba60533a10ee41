/* The words of IMAP's LOGIN, of clients and to backends; wire/imap.py and wire/backend.py have the same in Python. */

#include "core.h"

#include <string.h>
#include <strings.h>

#define LONGEST_TAG 100

static const char verb[] = " LOGIN ";

struct word {
    const char *bytes;
    Py_ssize_t length;
};

/* The rest of the line, which is still to be read. */
struct rest {
    const char *at, *end;
};

static int is_next(const struct rest *rest, char byte)
{
    return rest->at < rest->end && *rest->at == byte;
}

/* Takes all bytes up to one of three characters; gives whether there are any. */
static int take_until(struct rest *rest, struct word *word, char first, char second, char third)
{
    word->bytes = rest->at;
    while (rest->at < rest->end && *rest->at != first && *rest->at != second && *rest->at != third &&
           *rest->at != '\n') {
        rest->at++;
    }
    word->length = rest->at - word->bytes;
    return word->length > 0;
}

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

static int take_verb(struct rest *rest)
{
    Py_ssize_t length = sizeof(verb) - 1;
    int found = rest->end - rest->at >= length && strncasecmp(rest->at, verb, (size_t) length) == 0;

    rest->at += found ? length : 0;
    return found;
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

static int is_end(struct rest *rest)
{
    rest->at += is_next(rest, '\r');
    return is_next(rest, '\n') && rest->at + 1 == rest->end;
}

static PyObject *login_words(PyObject *Py_UNUSED(module), PyObject *line)
{
    struct word words[3];
    struct rest rest;
    Py_ssize_t length;
    PyObject *found;
    char *bytes;
    int i;

    if (PyBytes_AsStringAndSize(line, &bytes, &length) < 0) {
        return NULL;
    }
    rest = (struct rest){bytes, bytes + length};
    if (!(take_tag(&rest, &words[0]) && take_verb(&rest) && take_string(&rest, &words[1]) && take_space(&rest) &&
          take_string(&rest, &words[2]) && is_end(&rest))) {
        Py_RETURN_NONE;
    }
    found = PyTuple_New(3);
    for (i = 0; found != NULL && i < 3; i++) {
        PyObject *word = PyBytes_FromStringAndSize(words[i].bytes, words[i].length);

        if (word == NULL) {
            Py_CLEAR(found);
        } else {
            PyTuple_SET_ITEM(found, i, word);
        }
    }
    return found;
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

/* A piece of a command: bytes, text, and the announcement of a literal with the bytes `next`, NULL for a line's end. */
static PyObject *piece(PyObject *first, const char *text, PyObject *next)
{
    char end[32], *at = end + sizeof(end);
    Py_ssize_t rest = next == NULL ? 0 : PyBytes_GET_SIZE(next), before = (Py_ssize_t) strlen(text), behind;
    PyObject *made;

    *--at = '\n';
    *--at = '\r';
    if (next != NULL) {
        *--at = '}';
        do {
            *--at = (char) ('0' + rest % 10);
            rest /= 10;
        } while (rest > 0);
        *--at = '{';
        *--at = ' ';
    }
    behind = end + sizeof(end) - at;
    made = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(first) + before + behind);
    if (made != NULL) {
        (void) put(put(put_bytes(PyBytes_AS_STRING(made), first), text, before), at, behind);
    }
    return made;
}

static int has_nul(PyObject *bytes)
{
    return memchr(PyBytes_AS_STRING(bytes), '\0', (size_t) PyBytes_GET_SIZE(bytes)) != NULL;
}

static PyObject *login_pieces(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *tag, *name, *secret, *pieces[3], *made = NULL;
    Py_ssize_t length = 0, most;
    int i;

    if (!counted(given, 4)) {
        return NULL;
    }
    tag = arguments[0], name = arguments[1], secret = arguments[2];
    if (!PyBytes_Check(tag) || !PyBytes_Check(name) || !PyBytes_Check(secret)) {
        return PyErr_Format(PyExc_TypeError, "login_pieces(tag, name, secret, most)");
    }
    most = PyLong_AsSsize_t(arguments[3]);
    if (PyErr_Occurred()) {
        return NULL;
    }
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

PyMethodDef word_functions[] = {
    {"login_words", login_words, METH_O,
     "login_words(line): tag, name and password of a LOGIN; None for any other or unusual line."},
    {"login_pieces", FAST(login_pieces),
     "login_pieces(tag, name, secret, most): LOGIN with literals in three pieces; None if it may not be sent."},
    {NULL, NULL, 0, NULL},
};
