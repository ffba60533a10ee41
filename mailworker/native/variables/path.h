/* Paths of attributes from a session to a value, read by the slots of their classes. */

#ifndef MAILWORKER_PATH_H
#define MAILWORKER_PATH_H

#include "python.h"

#define STEPS 4

/* An attribute: in objects of the last `type` it is at offset `slot`, as `kind` says; T_NONE for elsewhere. */
struct step {
    PyObject *name;
    PyTypeObject *type;
    Py_ssize_t slot;
    int kind; /* of structmember.h: T_OBJECT_EX, T_ULONGLONG, T_DOUBLE, T_NONE */
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

/* The address of the attribute in an object; its meaning depends on the step's kind. */
static inline void *step_slot(struct step *step, PyObject *object)
{
    if (step->type != Py_TYPE(object)) {
        step_learn(step, Py_TYPE(object));
    }
    return (char *) object + step->slot;
}

/* The same, if it is of that kind; else NULL. */
static inline void *step_place(struct step *step, PyObject *object, int kind)
{
    void *place = step_slot(step, object);

    return step->kind == kind ? place : NULL;
}

/* Reads an attribute that is not in a slot. */
PyObject *step_look_up(struct step *step, PyObject *object);

/* Sets the attribute of an object; `step_give` steals the reference, which may be NULL with an exception. */
int step_give(PyObject *object, struct step *step, PyObject *value);
int step_set(PyObject *object, struct step *step, PyObject *value);

/* Parses a path from a text with dots between names. */
int path_take(struct path *path, PyObject *text);
int path_make(struct path *path, const char *text);

/* The object at the end of a path: None where the path ends before. */
PyObject *path_walk(struct path *path, PyObject *object);

/* The object in the slot to which a path of one step leads, borrowed; NULL unless the step is known to lead there. */
static inline PyObject *path_slot(const struct path *path, PyObject *object)
{
    const struct step *step = &path->steps[0];
    int is_known = path->length == 1 && step->type == Py_TYPE(object) && step->kind == T_OBJECT_EX;

    return is_known ? *(PyObject **) ((char *) object + step->slot) : NULL;
}

/* The same as path_walk(), faster for one step. */
static inline PyObject *path_follow(struct path *path, PyObject *object)
{
    PyObject *found = path_slot(path, object);

    return found == NULL ? path_walk(path, object) : Py_NewRef(found);
}

/* The kinds of results; FAILED is with an exception, NOTHING is None, REAL and WHOLE are numbers of C. */
enum found { FAILED, NOTHING, OBJECT, REAL, WHOLE, TEXT };

/* A value of a session. A text is in the walk, or lives as long as the line. */
struct value {
    enum found found;
    unsigned int length; /* of a text */
    union {
        PyObject *object;
        double real;
        unsigned long long whole;
        const char *text;
    };
};

/* Sets a value to the result of a call, borrowed; that may be NULL, with an exception. */
static inline void value_set(struct value *value, PyObject *object)
{
    value->object = object;
    value->found = object == NULL ? FAILED : object == Py_None ? NOTHING : OBJECT;
}

/* Reads a value from a slot, as the kind of a step says, an object borrowed; 0 where nothing is there. */
static inline int value_read(struct value *value, const void *place, int kind)
{
    if (kind == T_OBJECT_EX) {
        value_set(value, *(PyObject *const *) place);
        return value->object != NULL;
    }
    if (kind == T_ULONGLONG) {
        value->whole = *(const unsigned long long *) place;
        value->found = WHOLE;
        return 1;
    }
    if (kind == T_DOUBLE) {
        value->real = *(const double *) place;
        value->found = REAL;
        return 1;
    }
    return 0;
}

/* Takes a value as a number: REAL; NOTHING and FAILED as they are. */
enum found value_number(const struct value *value, double *number);

/* Whether the value is true in Python; -1 with an exception. */
int value_is_true(const struct value *value);

/* The value at the end of a path as a number, which it has to be. */
enum found path_number(struct path *path, PyObject *object, double *number);

/* The value at the end of a path as an integer of 64 bits, 0 where the path ends before. */
int path_whole(struct path *path, PyObject *object, uint64_t *number);

/* Makes C implement methods of a class that Python defines; the last method has no name. */
int take_over(PyObject *type, PyMethodDef *methods);

/* Whether the value at the end of a path is true in Python, and whether it is None; -1 with an exception. */
int path_has(struct path *path, PyObject *object);
int path_lacks(struct path *path, PyObject *object);

/* The attributes that a file knows, by its lists FIELDS, WAYS and WORDS, and the condition that makes them. */
#define FIELD_OF(name) struct step name;
#define WAY_OF(name, text) struct path name;
#define WORD_OF(word) PyObject *word;
#define ATTRIBUTES                                                                                                     \
    static struct {                                                                                                    \
        FIELDS(FIELD_OF)                                                                                               \
    } fields;                                                                                                          \
    static struct {                                                                                                    \
        WAYS(WAY_OF)                                                                                                   \
    } ways;                                                                                                            \
    static struct {                                                                                                    \
        WORDS(WORD_OF)                                                                                                 \
    } words

#define MAKE_FIELD(field) (fields.field.name = PyUnicode_InternFromString(#field)) != NULL &&
#define MAKE_WAY(way, text) path_make(&ways.way, text) &&
#define MAKE_WORD(word) (words.word = PyUnicode_InternFromString(#word)) != NULL &&
#define MAKE_ATTRIBUTES (FIELDS(MAKE_FIELD) WAYS(MAKE_WAY) WORDS(MAKE_WORD) 1)

#endif
