/* Where the values of lines lie in a session; variables/source.py says what is meant. */

#ifndef MAILWORKER_SOURCE_H
#define MAILWORKER_SOURCE_H

#include "core.h"

#include <time.h>

struct source;

/* Of a tuple `parts`, each of which has a tuple at `place`; NULL with an exception. What they name stays in there. */
struct source *sources_new(PyObject *parts, Py_ssize_t place);
void sources_free(struct source *sources, Py_ssize_t count);
int sources_traverse(struct source *sources, Py_ssize_t count, visitproc visit, void *arg);

/* What a value is: an object, or a number with a fraction. With an exception it FAILED. */
enum found { FAILED, NOTHING, OBJECT, REAL };

struct value {
    PyObject *object; /* the caller's, NULL where there is none */
    double real;
    int wanted, barred; /* by the conditions of the source that was asked last */
};

/* The sources of a line are asked in their order, and find the last one's answer in `value`. */
enum found source_value(struct source *sources, Py_ssize_t index, PyObject *session, const struct timespec *now,
                        struct value *value);

#endif
