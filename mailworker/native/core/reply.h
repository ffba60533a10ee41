#include <stddef.h>

/*
 * Whether `text` is all lines of one reply and nothing else, each with its CRLF: the last starts with `last`, those
 * before it with `others`, and with NULL there are none.
 */
int reply_is_whole(const char *text, size_t length, const char *last, size_t last_length, const char *others,
                   size_t others_length);
