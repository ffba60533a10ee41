/* Lines of values; see line.c. */

#ifndef MAILWORKER_LINE_H
#define MAILWORKER_LINE_H

#include "python.h"

extern PyTypeObject line_type;

/* The Line whose method `of` a function is; NULL for any other function. */
PyObject *line_behind(PyObject *function);

/* Writes the line of a session: 1 if it is written whole; 0 with the line, and how many bytes were, or an error. */
int line_write(PyObject *line, PyObject *session, PyObject *direct, PyObject **rest, Py_ssize_t *taken,
               PyObject **error);

#endif
