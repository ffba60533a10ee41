#include <stddef.h>

/*
 * Whether `text` is exactly one reply, each line with its CRLF: the last line starts with `last`, the lines before it
 * with `others`; NULL allows no lines before it.
 */
int reply_is_whole(const char *text, size_t length, const char *last, size_t last_length, const char *others,
                   size_t others_length);

/* What follows the start of a line; see event/choice.py. */
enum argument { NO_ARGUMENT, WORD, BASE64 };

/* Whether `text` is one word in base64, with its padding. */
int is_base64(const char *text, size_t length);

/* Whether `text` is one line, with its CRLF: `start`, given in capitals and in any case there, and such an argument. */
int line_fits(const char *text, size_t length, const char *start, size_t start_length, enum argument argument);
