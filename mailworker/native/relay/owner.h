/* The pump as Python has it, with the loop of all sides that it serves. */

#include "core.h"

#include "pump.h"

struct pump_object {
    PyObject_HEAD
    struct pump pump;
    struct loop *loop;
    struct rows *rows; /* what clients' sides are listed in, or NULL */
};
