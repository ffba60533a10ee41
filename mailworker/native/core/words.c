/* The words of a usual LOGIN of IMAP. login_words() of wire/imap.py has the same as a regular expression. */

#include "core.h"

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

PyMethodDef word_functions[] = {
    {"login_words", login_words, METH_O,
     "login_words(line): tag, name and password of a LOGIN; None for any other or unusual line."},
    {NULL, NULL, 0, NULL},
};
