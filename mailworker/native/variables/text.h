/* Texts that are put together from literals and values. */

#ifndef MAILWORKER_TEXT_H
#define MAILWORKER_TEXT_H

#include "python.h"

#include <string.h>

#define USUAL_LENGTH 1024 /* a longer text needs memory of its own */
#define BLOCK 16          /* literals are copied in blocks of so many bytes, two of them at least */
#define SLACK (2 * BLOCK) /* bytes that may be read and written behind a literal */
#define DIGITS 24         /* the most that a number of C has, with its decimals */

/* The text that was written so far. */
struct text {
    char *start, *end; /* of what was written */
    char *limit;       /* of the memory */
    char usual[USUAL_LENGTH];
};

/* Bytes with SLACK behind them. */
struct literal {
    const char *start; /* NULL for none */
    size_t length;
};

static inline void text_begin(struct text *text)
{
    text->start = text->end = text->usual;
    text->limit = text->usual + sizeof(text->usual);
}

static inline void text_free(struct text *text)
{
    if (text->start != text->usual) {
        PyMem_Free(text->start);
    }
}

static inline size_t text_length(const struct text *text)
{
    return (size_t) (text->end - text->start);
}

/* Makes room where there is too little; NULL with an exception. */
char *text_enlarge(struct text *text, size_t length);

/* The place for so many bytes, and the slack; NULL with an exception. */
static inline char *text_room(struct text *text, size_t length)
{
    return (size_t) (text->limit - text->end) < length + SLACK ? text_enlarge(text, length) : text->end;
}

/* Most texts are so short that calling memcpy() takes longer than the copy; with a fixed length it is no call. */
static inline char *put_bytes(char *place, const char *bytes, size_t length)
{
    if (length > 16) {
        memcpy(place, bytes, length);
    } else if (length >= 8) {
        memcpy(place, bytes, 8);
        memcpy(place + length - 8, bytes + length - 8, 8);
    } else if (length >= 4) {
        memcpy(place, bytes, 4);
        memcpy(place + length - 4, bytes + length - 4, 4);
    } else if (length > 0) {
        place[0] = bytes[0];
        place[length / 2] = bytes[length / 2];
        place[length - 1] = bytes[length - 1];
    }
    return place + length;
}

static inline int text_add(struct text *text, const char *bytes, size_t length)
{
    char *place = text_room(text, length);

    text->end = place == NULL ? text->end : put_bytes(place, bytes, length);
    return place != NULL;
}

static inline int text_add_bytes(struct text *text, PyObject *bytes)
{
    return text_add(text, PyBytes_AS_STRING(bytes), (size_t) PyBytes_GET_SIZE(bytes));
}

/* Copies a literal to a place with room for it and the slack; gives its end. */
static inline char *put_literal(char *place, const struct literal *literal)
{
    memcpy(place, literal->start, BLOCK);
    if (literal->length > BLOCK) {
        memcpy(place + BLOCK, literal->start + BLOCK, BLOCK);
        if (literal->length > SLACK) {
            memcpy(place + SLACK, literal->start + SLACK, literal->length - SLACK);
        }
    }
    return place + literal->length;
}

static inline int text_add_literal(struct text *text, const struct literal *literal)
{
    char *place = text_room(text, literal->length);

    if (place == NULL) {
        return 0;
    }
    text->end = put_literal(place, literal);
    return 1;
}

/* Writes a number to a place with room for DIGITS; gives its end. */
char *put_whole(char *place, unsigned long long number);

/* Adds a number with three decimals, rounded as by Python. */
int text_add_real(struct text *text, double number);

/* Adds a value of variables/source.py; `written` escapes bytes that are not all plain, unless NULL. */
int text_add_object(struct text *text, PyObject *value, PyObject *written);

#endif
