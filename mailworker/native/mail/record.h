/* Beginnings and ends of sessions, for records and for those with facts; see record.c and facts.c. */

#ifndef MAILWORKER_RECORD_H
#define MAILWORKER_RECORD_H

#include "mail.h"

/* A copy of a pattern record, with its own number, peer, time and connection. */
PyObject *record_begun(PyObject *pattern, PyObject *const *arguments, Py_ssize_t given);

/* Ends the session unless it has ended: 1 where this call did, 0 where not; -1 with an exception. */
int record_end(PyObject *record, PyObject *reason);

/* Passes what was raised to a method in Python; what is no Exception stays raised. */
int record_pass_on(PyObject *record, PyObject *method);

#endif
