/* Reading the words of a text from its beginning; see words.c and first_words.c. */

#ifndef MAILWORKER_WORDS_H
#define MAILWORKER_WORDS_H

#include "wire.h"

#include <string.h>
#include <strings.h>

/* A part of a text. */
struct word {
    const char *bytes;
    Py_ssize_t length;
};

/* The rest of the text, which is still to be read. */
struct rest {
    const char *at, *end;
};

static inline int is_next(const struct rest *rest, char byte)
{
    return rest->at < rest->end && *rest->at == byte;
}

/* Takes a constant text in any case; gives whether it is next. */
#define TAKE(rest, text) take_text(rest, text, (Py_ssize_t) sizeof(text) - 1)

static inline int take_text(struct rest *rest, const char *text, Py_ssize_t length)
{
    int found = rest->end - rest->at >= length && strncasecmp(rest->at, text, (size_t) length) == 0;

    rest->at += found ? length : 0;
    return found;
}

/* Takes all bytes up to one of three characters, or a line's end; gives whether there are any. */
static inline int take_until(struct rest *rest, struct word *word, char first, char second, char third)
{
    word->bytes = rest->at;
    while (rest->at < rest->end && *rest->at != first && *rest->at != second && *rest->at != third &&
           *rest->at != '\n') {
        rest->at++;
    }
    word->length = rest->at - word->bytes;
    return word->length > 0;
}

/* Takes the end of the last line; gives whether nothing comes after it. */
static inline int is_end(struct rest *rest)
{
    rest->at += is_next(rest, '\r');
    return is_next(rest, '\n') && rest->at + 1 == rest->end;
}

/* words.c: the words as bytes objects in a tuple. */
PyObject *tuple_of(const struct word *words, int count);

#endif
