/* Replies of backends and lines of clients in their usual form: whole, in one read. */

#include "reply.h"

#include <string.h>

/* Whether the line that ends at `*end`, CRLF included, starts with `prefix`; moves `*end` to the line's start. */
static int take_line(const char *text, size_t *end, const char *prefix, size_t length)
{
    size_t start, stop;

    if (*end < 2 || memcmp(text + *end - 2, "\r\n", 2) != 0) {
        return 0;
    }
    if (*end > 2 && text[*end - 3] == '}') {
        return 0; /* a literal may follow */
    }
    start = stop = *end - 2;
    while (start > 0 && text[start - 1] != '\n') {
        start--;
    }
    if (stop - start < length || memcmp(text + start, prefix, length) != 0) {
        return 0;
    }
    *end = start;
    return 1;
}

int reply_is_whole(const char *text, size_t length, const char *last, size_t last_length, const char *others,
                   size_t others_length)
{
    size_t end = length;

    if (!take_line(text, &end, last, last_length)) {
        return 0;
    }
    while (end > 0) {
        if (others == NULL || !take_line(text, &end, others, others_length)) {
            return 0;
        }
    }
    return 1;
}

int is_base64(const char *text, size_t length)
{
    size_t i, padding = 0;

    if (length == 0 || length % 4 != 0) {
        return 0;
    }
    while (padding < 2 && text[length - 1 - padding] == '=') {
        padding++;
    }
    for (i = 0; i < length - padding; i++) {
        char byte = text[i];

        if (!((byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
              byte == '+' || byte == '/')) {
            return 0;
        }
    }
    return 1;
}

static int is_word(const char *text, size_t length)
{
    size_t i;

    for (i = 0; i < length; i++) {
        if (text[i] < '!' || text[i] > '~') {
            return 0;
        }
    }
    return length > 0;
}

int line_fits(const char *text, size_t length, const char *start, size_t start_length, enum argument argument)
{
    size_t i;

    if (length < start_length + 2 || memcmp(text + length - 2, "\r\n", 2) != 0) {
        return 0;
    }
    for (i = 0; i < start_length; i++) {
        char byte = text[i] >= 'a' && text[i] <= 'z' ? (char) (text[i] - ('a' - 'A')) : text[i];

        if (byte != start[i]) {
            return 0;
        }
    }
    text += start_length;
    length -= start_length + 2;
    switch (argument) {
    case WORD:
        return is_word(text, length);
    case BASE64:
        return is_base64(text, length);
    default:
        return length == 0;
    }
}
