/* The state of reading the commands of a ManageSieve client after login: see sieve_line.c. */

#ifndef MAILWORKER_SIEVE_LINE_H
#define MAILWORKER_SIEVE_LINE_H

#include <stddef.h>

/* Zeros are the beginning of a command. Each relayed ManageSieve session has one, so it is packed. */
struct line {
    unsigned int count; /* bytes of a literal that are still to come, its size so far, or bytes of a quoted string */
    unsigned char least, most; /* the range of the next byte of a UTF-8 character */
    unsigned short alive : 12; /* which commands the word may still be; after it, which it is */
    unsigned short due : 2; /* bytes of a UTF-8 character still to come */
    unsigned short wary : 1; /* a server may take the present script for commands */
    unsigned char state : 5;
    unsigned char argument : 3; /* the number of the present one */
    unsigned char letters : 4; /* of the word that were read */
    unsigned char digits : 4; /* of a literal's size */
    unsigned char unauthenticate : 4; /* letters of these words that were read last */
    unsigned char starttls : 4;
};

int line_refuses(struct line *line, const char *data, size_t length);

#endif
