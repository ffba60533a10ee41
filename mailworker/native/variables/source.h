/* The sources of a line's values in a session; variables/source.py describes them. */

#ifndef MAILWORKER_SOURCE_H
#define MAILWORKER_SOURCE_H

#include "walk.h"

#define PATHS 3

struct source;
typedef const struct value *(*finder)(struct source *source, struct walk *walk);

/* The conditions of a source: it has none, others than the source before, or the same. */
enum conditions { FREE, OTHER, SAME };

/* What conditions say: the source is used, there is no value, or `otherwise` gives it; UNKNOWN is with an exception. */
enum course { USED, BARE, ELSEWHERE, UNKNOWN };

struct source {
    finder find;         /* NULL for what is at the first path */
    int paths[PATHS];    /* their nodes */
    int count;           /* of paths */
    enum conditions conditions;
    int when, unless;    /* nodes, NOWHERE for no condition */
    PyObject *argument;  /* both are borrowed from the tuple that this was made of */
    PyObject *otherwise; /* None for nothing */
    PyObject *kept;      /* the cached value, NULL before there is one */
    time_t second;       /* the second of the cached value */
};

/* Makes sources from the tuples at `place` of each of `parts`, whose objects they borrow, and adds their nodes; NULL
 * with an exception. */
struct source *sources_new(struct nodes *nodes, PyObject *parts, Py_ssize_t place);
void sources_free(struct source *sources, Py_ssize_t count);
int sources_traverse(struct source *sources, Py_ssize_t count, visitproc visit, void *arg);

/* Follows the conditions of a source. */
enum course source_judge(struct source *source, struct walk *walk);

/* The value where the source is not used, or has none. */
const struct value *source_instead(struct source *source, struct walk *walk, enum course course);

/* To be called for the sources of a line in their order. The value holds until the next call. */
static inline const struct value *source_value(struct source *source, struct walk *walk)
{
    const struct value *value;
    enum course course = USED;

    if (source->conditions != FREE) {
        if (source->conditions == OTHER) {
            walk->course = source_judge(source, walk);
        }
        course = walk->course;
    }
    if (course == USED) {
        value = source->find == NULL ? walk_to(walk, source->paths[0]) : source->find(source, walk);
        if (value->found != NOTHING) {
            return value;
        }
    }
    return source_instead(source, walk, course);
}

#endif
