/* The words of usual logins by POP3, SMTP and ManageSieve; wire/pop3.py, smtp.py and sieve.py have them in Python. */

#include "words.h"

static int take_visible(struct rest *rest, struct word *word)
{
    word->bytes = rest->at;
    while (rest->at < rest->end && *rest->at >= '!' && *rest->at <= '~') {
        rest->at++;
    }
    word->length = rest->at - word->bytes;
    return word->length > 0;
}

static int take_response(struct rest *rest, struct word *word)
{
    return take_until(rest, word, ' ', '\r', '\r');
}

/* Name, password and response. */
static int read_pop3(struct rest *rest, struct word *words)
{
    (void) TAKE(rest, "CAPA\r\n");
    if (TAKE(rest, "USER ")) {
        return take_visible(rest, &words[0]) && TAKE(rest, "\r\nPASS ") && !is_next(rest, ' ') &&
               take_until(rest, &words[1], '\r', '\r', '\r');
    }
    return TAKE(rest, "AUTH PLAIN") && (TAKE(rest, " ") || TAKE(rest, "\r\n")) && take_response(rest, &words[2]);
}

/* EHLO's argument, the response of PLAIN, and the two responses of LOGIN. */
static int read_smtp(struct rest *rest, struct word *words)
{
    if (!(TAKE(rest, "EHLO ") && take_visible(rest, &words[0]) && TAKE(rest, "\r\nAUTH "))) {
        return 0;
    }
    if (TAKE(rest, "PLAIN")) {
        return (TAKE(rest, " ") || TAKE(rest, "\r\n")) && take_response(rest, &words[1]);
    }
    return TAKE(rest, "LOGIN\r\n") && take_response(rest, &words[2]) && TAKE(rest, "\r\n") &&
           take_response(rest, &words[3]);
}

/* The response of PLAIN. */
static int read_sieve(struct rest *rest, struct word *words)
{
    (void) TAKE(rest, "CAPABILITY\r\n");
    return TAKE(rest, "AUTHENTICATE \"PLAIN\"") && (TAKE(rest, " ") || TAKE(rest, "\r\n")) && TAKE(rest, "\"") &&
           take_until(rest, &words[0], '"', '\\', '\r') && TAKE(rest, "\"");
}

/* Whether no byte comes after the first line. */
static int is_one_line(PyObject *words)
{
    const char *bytes = PyBytes_AS_STRING(words), *newline = memchr(bytes, '\n', (size_t) PyBytes_GET_SIZE(words));

    return newline == NULL ? PyBytes_GET_SIZE(words) == 0 : newline + 1 == bytes + PyBytes_GET_SIZE(words);
}

/* What a client has said in all; `heard` is None where it had said nothing before. */
static PyObject *said(PyObject *heard, PyObject *words)
{
    PyObject *all;

    if (heard == Py_None) {
        return Py_NewRef(words);
    }
    all = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(heard) + PyBytes_GET_SIZE(words));
    if (all != NULL) {
        memcpy(PyBytes_AS_STRING(all), PyBytes_AS_STRING(heard), (size_t) PyBytes_GET_SIZE(heard));
        memcpy(PyBytes_AS_STRING(all) + PyBytes_GET_SIZE(heard), PyBytes_AS_STRING(words),
               (size_t) PyBytes_GET_SIZE(words));
    }
    return all;
}

static PyObject *found(PyObject *const *arguments, Py_ssize_t given, int (*read)(struct rest *, struct word *),
                       int count)
{
    struct word words[4] = {{NULL, 0}}; /* those that are not there stay empty */
    PyObject *all, *tuple;
    struct rest rest;

    if (!counted(given, 2)) {
        return NULL;
    }
    if (!(arguments[0] == Py_None || PyBytes_Check(arguments[0])) || !PyBytes_Check(arguments[1])) {
        return PyErr_Format(PyExc_TypeError, "heard, None for nothing, and words must be bytes");
    }
    if (!is_one_line(arguments[1])) {
        Py_RETURN_NONE;
    }
    all = said(arguments[0], arguments[1]);
    if (all == NULL) {
        return NULL;
    }
    rest = (struct rest){PyBytes_AS_STRING(all), PyBytes_AS_STRING(all) + PyBytes_GET_SIZE(all)};
    tuple = read(&rest, words) && is_end(&rest) ? tuple_of(words, count) : Py_NewRef(Py_None);
    Py_DECREF(all);
    return tuple;
}

static PyObject *pop3_words(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return found(arguments, given, read_pop3, 3);
}

static PyObject *smtp_words(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return found(arguments, given, read_smtp, 4);
}

static PyObject *sieve_words(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return found(arguments, given, read_sieve, 1);
}

PyMethodDef first_word_functions[] = {
    {"pop3_words", FAST(pop3_words), "pop3_words(heard, words): name, password and response; None for other words."},
    {"sieve_words", FAST(sieve_words), "sieve_words(heard, words): the response of PLAIN; None for other words."},
    {"smtp_words", FAST(smtp_words),
     "smtp_words(heard, words): EHLO's argument, the response of PLAIN, both of LOGIN; None for other words."},
    {NULL, NULL, 0, NULL},
};
