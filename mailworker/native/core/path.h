/* Ways from a session to what it knows, by the slots of its classes. */

#ifndef MAILWORKER_PATH_H
#define MAILWORKER_PATH_H

#include "core.h"

#define STEPS 4

/* An attribute: in objects of the `type` that was met last it lies at `slot`, as `kind` says; 0 for somewhere else. */
struct step {
    PyObject *name;
    PyTypeObject *type;
    Py_ssize_t slot;
    int kind; /* of structmember.h: T_OBJECT_EX, T_ULONGLONG or T_DOUBLE */
    int constant;      /* whether the type is an Enum, whose members have the same attributes for ever */
    PyObject *last;    /* a member of it, and what it has */
    PyObject *constant_value;
};

struct path {
    int length;
    struct step steps[STEPS];
};

/* Looks up how to read the attribute of an object of another type than the last. */
void step_learn(struct step *step, PyTypeObject *type);

/* Drops what is kept. */
void step_free(struct step *step);

/* Where the attribute lies in an object, if it is of that kind; else NULL. */
static inline void *step_place(struct step *step, PyObject *object, int kind)
{
    if (step->type != Py_TYPE(object)) {
        step_learn(step, Py_TYPE(object));
    }
    return step->slot == 0 || step->kind != kind ? NULL : (char *) object + step->slot;
}

/* A path of a text with dots between names. */
int path_take(struct path *path, PyObject *text);

/* What lies at the end of a path: None where it ends before. */
PyObject *path_follow(struct path *path, PyObject *object);

/* With an exception it FAILED; NOTHING is None. */
enum found { FAILED, NOTHING, OBJECT, REAL, WHOLE };

/* What lies at the end of a path: an object, which is the caller's, or a number of an object in C. */
struct value {
    PyObject *object; /* NULL where there is none */
    double real;
    unsigned long long whole;
};

enum found path_read(struct path *path, PyObject *object, struct value *value);

/* The same as a number, which it has to be. */
enum found path_number(struct path *path, PyObject *object, double *number);

#endif
