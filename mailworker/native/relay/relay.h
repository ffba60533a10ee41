/* Relays, as sessions and the module use them. */

#ifndef MAILWORKER_RELAY_H
#define MAILWORKER_RELAY_H

#include "core.h"

/* side.c, limited.c, pump_object.c */

extern PyTypeObject side_type, listed_type, watched_type, limited_type, pump_type;

int side_ready(PyObject *side, int mask);
int side_row(PyObject *side); /* of a ListedSide */

/* Ends a relay by the exception that was raised, unless that ends the process. */
int abort_relay(PyObject *relay);

/* pair.c */

extern PyTypeObject pair_type, terms_type;

int pair_half_close(PyObject *pair);
int pair_ended_by_client(PyObject *pair); /* whether the client's input ended first */

#endif
