#include <stddef.h>

/*
 * Whether `text` is all lines of one reply and nothing else, each with its CRLF: the last starts with `last`, those
 * before it with `others`, and with NULL there are none.
 */
int reply_is_whole(const char *text, size_t length, const char *last, size_t last_length, const char *others,
                   size_t others_length);

/* What stands behind the start of a line; see event/choice.py. */
enum argument { NO_ARGUMENT, WORD, BASE64 };

/* Whether `text` is one line, with its CRLF: `start`, in capitals that stand for any letters, and such an argument. */
int line_fits(const char *text, size_t length, const char *start, size_t start_length, enum argument argument);
