/* The Python object of a pump, with the loop of all sides that it serves. */

#include "core.h"

#include "pump.h"

struct pump_object {
    PyObject_HEAD
    struct pump pump;
    struct loop *loop;
    struct rows *rows; /* of the session table, for clients' sides, or NULL */
};
