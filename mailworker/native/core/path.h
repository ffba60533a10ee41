/* Paths of attributes from a session to a value, read by the slots of their classes. */

#ifndef MAILWORKER_PATH_H
#define MAILWORKER_PATH_H

#include "core.h"

#define STEPS 4

/* An attribute: in objects of the last `type` it is at offset `slot`, as `kind` says; 0 for elsewhere. */
struct step {
    PyObject *name;
    PyTypeObject *type;
    Py_ssize_t slot;
    int kind; /* of structmember.h: T_OBJECT_EX, T_ULONGLONG or T_DOUBLE */
    int constant;      /* whether the type is an Enum, whose members' attributes never change */
    PyObject *last;    /* a member of it, and its attribute */
    PyObject *constant_value;
};

struct path {
    int length;
    struct step steps[STEPS];
};

/* Looks up how to read the attribute in objects of another type. */
void step_learn(struct step *step, PyTypeObject *type);

/* Drops the references that the step holds. */
void step_free(struct step *step);

/* The address of the attribute in an object, if it is of that kind; else NULL. */
static inline void *step_place(struct step *step, PyObject *object, int kind)
{
    if (step->type != Py_TYPE(object)) {
        step_learn(step, Py_TYPE(object));
    }
    return step->slot == 0 || step->kind != kind ? NULL : (char *) object + step->slot;
}

/* Parses a path from a text with dots between names. */
int path_take(struct path *path, PyObject *text);
int path_make(struct path *path, const char *text);

/* The object at the end of a path: None where the path ends before. */
PyObject *path_follow(struct path *path, PyObject *object);

/* The kinds of results; FAILED is with an exception, NOTHING is None. */
enum found { FAILED, NOTHING, OBJECT, REAL, WHOLE };

/* The value at the end of a path: a new reference to an object, or a number from a C struct. */
struct value {
    PyObject *object; /* NULL where there is none */
    double real;
    unsigned long long whole;
};

enum found path_read(struct path *path, PyObject *object, struct value *value);

/* The value at the end of a path as a number, which it has to be. */
enum found path_number(struct path *path, PyObject *object, double *number);

/* Whether the value at the end of a path is true in Python; -1 with an exception. */
int path_has(struct path *path, PyObject *object);

#endif
