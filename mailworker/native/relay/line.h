/* The state of reading the commands of a ManageSieve client after login: see line.c. */

#ifndef MAILWORKER_LINE_H
#define MAILWORKER_LINE_H

#include <stddef.h>

/* Zeros are the beginning of a command. */
struct line {
    unsigned int count; /* bytes of a literal that are still to come, its size so far, or bytes of a quoted string */
    unsigned short alive; /* which commands the word may still be; after it, which it is */
    unsigned char state;
    unsigned char letters; /* of the word that were read */
    unsigned char argument; /* the number of the present one */
    unsigned char digits; /* of a literal's size */
    unsigned char unauthenticate; /* letters of these words that were read last */
    unsigned char starttls;
    unsigned char due, least, most; /* bytes of a UTF-8 character still to come, and the range of the next */
    unsigned char wary; /* a server may take the present script for commands */
};

int line_refuses(struct line *line, const char *data, size_t length);

#endif
