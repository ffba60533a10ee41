/* One end of a relay, and the direction that begins there. _relay.c makes and closes it, relay_steps.c has what it does. */

typedef struct ssl_st SSL;

#include "pump.h"

struct side {
    PyObject_HEAD
    PyObject *relay; /* NULL once closed, as are the next three, and `pending` */
    PyObject *tls; /* owns `connection`; None where the side is plain */
    SSL *connection;
    struct side *other;
    struct pump *pump;
    PyObject *pending; /* read here and not yet taken by the other side, before which nothing more is read; or NULL */
    double active; /* when the loop last called for this side, by its clock */
    unsigned long long received; /* bytes that came from this side's peer, before the relay too */
    unsigned long long sent; /* bytes that it has been sent */
    int fd;
    unsigned char source; /* events that the direction waits for on this descriptor */
    unsigned char sink; /* and on the other side's; where input has ended, until that side is told */
    unsigned char watched; /* what the loop watches this descriptor for */
    unsigned char ended; /* no more input comes: 1 where this side's ended first, 2 where the other's had before */
};

static inline int is_open(const struct side *side)
{
    return side->relay != NULL;
}

static inline PyObject *loop_of(const struct side *side)
{
    return side->pump->loop;
}

/* Drops what a method gave; 0 where it raised. */
static inline int done(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL;
}

/* 0 with an exception, as the next two. */
int prepare_relay(void);

/* The first round of a relay, for both of its sides. */
int relay_begin(struct side *side, struct side *other, long mask);

/* `side` is ready for `mask`. */
int relay_serve(struct side *side, struct side *other, long mask);
