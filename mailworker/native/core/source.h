/* Where the values of lines lie in a session; variables/source.py says what is meant. */

#ifndef MAILWORKER_SOURCE_H
#define MAILWORKER_SOURCE_H

#include "path.h"

#include <time.h>

struct source;

/* Of a tuple `parts`, each of which has a tuple at `place`; NULL with an exception. What they name stays in there. */
struct source *sources_new(PyObject *parts, Py_ssize_t place);
void sources_free(struct source *sources, Py_ssize_t count);
int sources_traverse(struct source *sources, Py_ssize_t count, visitproc visit, void *arg);

/* Whether the source that was asked last is wanted, and barred, by its conditions. */
struct conditions {
    int wanted, barred;
};

/* The sources of a line are asked in their order, and find the last one's conditions. */
enum found source_value(struct source *sources, Py_ssize_t index, PyObject *session, const struct timespec *now,
                        struct conditions *conditions, struct value *value);

#endif
