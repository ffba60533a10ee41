/* The paths of a line, followed in one session: an attribute is read once, however many paths lead through it. */

#ifndef MAILWORKER_WALK_H
#define MAILWORKER_WALK_H

#include "path.h"

#include <time.h>

#define NODES 64      /* at most, of the paths of one line */
#define NOWHERE (-1)  /* instead of a node */

/* An attribute of what is found at the node `from`, or of the session where that is NOWHERE. */
struct node {
    int from;
    struct step step;
};

/* The nodes of the paths of a line; each comes after the one that it starts from. */
struct nodes {
    int count;
    struct node *all;
};

/* The values of one session. */
struct walk {
    struct nodes *nodes;
    PyObject *session;
    struct timespec now;
    int course;                 /* of the last conditions, see source.h */
    char text[16];              /* of a value that is made */
    struct value made;          /* the last value that is not at a node */
    struct value values[NODES]; /* at each node; FAILED before it is read */
    PyObject *held[NODES];      /* the objects among them, whose references the walk has */
    int holds;                  /* how many these are */
};

/* Adds the nodes of a path, a text with dots between names; gives the last of them, NOWHERE with an exception. */
int nodes_take(struct nodes *nodes, PyObject *text);
void nodes_free(struct nodes *nodes);
int nodes_traverse(struct nodes *nodes, visitproc visit, void *arg);

void walk_begin(struct walk *walk, struct nodes *nodes, PyObject *session);
void walk_end(struct walk *walk);

/* Reads the value at a node for the first time. */
const struct value *walk_read(struct walk *walk, int node);

/* The value at a node; `found` of it is FAILED with an exception. */
static inline const struct value *walk_to(struct walk *walk, int node)
{
    const struct value *value = &walk->values[node];

    return value->found == FAILED ? walk_read(walk, node) : value;
}

/* The result of a call as a value, whose reference it steals; that may be NULL, with an exception. */
const struct value *walk_make(struct walk *walk, PyObject *object);

/* Values that are no objects. */
const struct value *walk_make_real(struct walk *walk, double real);
const struct value *walk_make_text(struct walk *walk, unsigned int length); /* of the walk's text */

/* The value as an object, a new reference: None for none. NULL with an exception. */
PyObject *value_object(const struct value *value);

#endif
