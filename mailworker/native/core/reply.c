/* A backend's reply as it usually comes: whole, in one read. */

#include "reply.h"

#include <string.h>

/* Whether the line that ends at `*end`, CRLF included, starts with `prefix`; moves `*end` to where it starts. */
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
