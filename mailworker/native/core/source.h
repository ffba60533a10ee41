/* The sources of a line's values in a session; variables/source.py describes them. */

#ifndef MAILWORKER_SOURCE_H
#define MAILWORKER_SOURCE_H

#include "path.h"

#include <time.h>

struct source;

/* Makes sources from the tuples at `place` of each of `parts`, whose objects they borrow; NULL with an exception. */
struct source *sources_new(PyObject *parts, Py_ssize_t place);
void sources_free(struct source *sources, Py_ssize_t count);
int sources_traverse(struct source *sources, Py_ssize_t count, visitproc visit, void *arg);

/* The results of the last source's conditions, `when` and `unless`. */
struct conditions {
    int wanted, barred;
};

/* To be called for the sources of a line in their order, as they share `conditions`. */
enum found source_value(struct source *sources, Py_ssize_t index, PyObject *session, const struct timespec *now,
                        struct conditions *conditions, struct value *value);

#endif
