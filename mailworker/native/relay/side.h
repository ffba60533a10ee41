/* The fields of a side: see side.c, and limited.c for a side with a rate limit. */

#ifndef MAILWORKER_SIDE_H
#define MAILWORKER_SIDE_H

#include "pump.h"
#include "relay.h"

/* The Python object of a pump, with the loop of all sides that it serves. */
struct pump_object {
    PyObject_HEAD
    struct pump pump;
    struct loop *loop;
    struct rows *rows; /* of the session table, for clients' sides, or NULL */
};

struct side {
    PyObject_HEAD
    PyObject *relay; /* NULL once closed, as are `tls`, `other`, `owner` and `pending` */
    PyObject *tls; /* owns `connection`, unless it is `bare`; None where the side is plain */
    void *connection;
    struct side *other;
    struct pump_object *owner; /* of the pump; NULL once closed too */
    PyObject *pending; /* read here and not yet taken by the other side; nothing more is read before; or NULL */
    double active; /* when the loop last called this side, by its clock */
    unsigned long long received; /* bytes that came from this side's peer, before the relay too */
    unsigned long long sent; /* bytes that were sent to it */
    int fd;
    unsigned char source : 2; /* events that the direction waits for on this descriptor */
    unsigned char sink : 2; /* and on the other side's; after the end of input, until that is passed on */
    unsigned char watched : 2; /* events that the loop watches this descriptor for */
    unsigned char listed : 1; /* whether it is a watched_side with a row for its byte counts */
    unsigned char spoken : 1; /* whether bytes of this side's peer were passed on by this relay */
    unsigned char pieces; /* small ones that came in quick succession; see event/gathering.py */
    unsigned char ended; /* no more input comes: 1 where this side's ended first, 2 where the other's had before */
    char bare; /* whether `tls` is the context, see dressed() */
};

/* A side whose pump is watching, or a listed side, whose struct ends before `line`. */
struct watched_side {
    struct side side;
    int row; /* of the session table */
    struct line line;
};

/* A side whose pump is limiting; it is watched where the pump is watching, too. */
struct limited_side {
    struct watched_side watched;
    long long allowance; /* bytes that may be read here before the relay is asked again */
};

static inline int is_open(const struct side *side)
{
    return side->relay != NULL;
}

/* Gives an empty side the connection of a stream, with the bytes that were read already. */
void side_take(struct side *side, PyObject *relay, struct pump_object *owner, struct stream *stream, PyObject *pending);
int side_join(struct side *side, struct side *other); /* begins to relay between the two */
int side_close(struct side *side);

PyObject *side_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords);
void side_free(PyObject *object);

/* Tells the pump how many bytes may be moved; 0: none before `resume`, -1: an exception. */
int limited_most(struct limited_side *side, struct pump *pump);

#endif
