/* How far a ManageSieve client that is logged in has got in what it says: see line.c. */

#ifndef MAILWORKER_LINE_H
#define MAILWORKER_LINE_H

#include <stddef.h>

/* Zeros are the beginning of a command. */
struct line {
    unsigned int count; /* bytes of a literal that are still to come, its size so far, or bytes of a quoted string */
    unsigned short alive; /* which commands the word may still be; behind it, which it is */
    unsigned char state;
    unsigned char letters; /* of the word */
    unsigned char argument; /* the number of the one at hand */
    unsigned char digits; /* of a literal's size */
    unsigned char unauthenticate; /* letters of the word that were read last */
    unsigned char starttls;
    unsigned char due, least, most; /* bytes of a character of UTF-8, and what the next may be */
    unsigned char wary; /* the script at hand may be read as commands */
};

int line_refuses(struct line *line, const char *data, size_t length);

#endif
