/* A row of the session table, and the values that Python gives for it; shm/session_row.py has the layout. */

#ifndef MAILWORKER_ROW_H
#define MAILWORKER_ROW_H

#include "client.h"

#define LONGEST_NAME 40
#define UNIX 0x80

enum { LOGIN = 1, AUTH, BACKEND, RELAY };

struct row {
    uint32_t number, sum;
    uint64_t received, sent; /* the checksum starts here */
    uint32_t active, logged_in, accepted;
    uint16_t server, client_port, backend_port;
    uint8_t mark, length;
    unsigned char id[12], client[ADDRESS_SIZE], backend[ADDRESS_SIZE];
    char name[LONGEST_NAME];
};

_Static_assert(sizeof(struct row) == 128, "others have another layout");

/* Between these two a reader that sees the row takes no value from it. */
struct row *row_begin(struct row *row);
void row_finish(struct row *row);

int take_seconds(PyObject *argument, uint32_t *seconds);
int take_short(PyObject *argument, uint16_t *number);

/* Packs the address and the port of an InetAddress; zeros for anything else. */
int take_address(PyObject *argument, unsigned char *address, uint16_t *port);

/* Takes what is kept of a UnixAddress. */
int take_socket(PyObject *argument, unsigned char *kept);

struct name {
    const char *bytes;
    size_t length;
    int full_length; /* or SHORTENED of shm/session_row.py */
    PyObject *kept;
};

int take_name(PyObject *argument, struct name *name);
void put_name(struct row *row, struct name *name); /* drops what take_name() has kept */

#endif
