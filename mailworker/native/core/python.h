/*
 * What all files of the module _core need of Python's C interface: names, errors, arguments, and the slots of types.
 *
 * Functions that give an int give 0 with an exception, unless a comment says something else.
 */

#ifndef MAILWORKER_PYTHON_H
#define MAILWORKER_PYTHON_H

#define PY_SSIZE_T_CLEAN

#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <structmember.h>

/* Names of attributes, made once. */
#define NAMES(NAME)                                                                                                    \
    NAME(abort)                                                                                                        \
    NAME(address)                                                                                                      \
    NAME(adopt)                                                                                                        \
    NAME(again)                                                                                                        \
    NAME(allow)                                                                                                        \
    NAME(begin)                                                                                                        \
    NAME(begin_heard)                                                                                                  \
    NAME(begin_lost)                                                                                                   \
    NAME(close)                                                                                                        \
    NAME(drop)                                                                                                         \
    NAME(enlist)                                                                                                       \
    NAME(expire)                                                                                                       \
    NAME(fail)                                                                                                         \
    NAME(finish)                                                                                                       \
    NAME(free)                                                                                                         \
    NAME(half_close)                                                                                                   \
    NAME(kind)                                                                                                         \
    NAME(number)                                                                                                       \
    NAME(of)                                                                                                           \
    NAME(park)                                                                                                         \
    NAME(passes)                                                                                                       \
    NAME(path)                                                                                                         \
    NAME(ready)                                                                                                        \
    NAME(resume)                                                                                                       \
    NAME(time_out)                                                                                                     \
    NAME(throw)                                                                                                        \
    NAME(timed_out)                                                                                                    \
    NAME(_exhausted)                                                                                                   \
    NAME(_member_map_)                                                                                                 \
    NAME(_refused)

#define DECLARE(name) PyObject *name;
extern struct names {
    NAMES(DECLARE)
    PyObject *no_address; /* "unix:" */
} names;
#undef DECLARE

int make_names(void);

/* Raises an exception; gives 0. */
static inline int raised(PyObject *kind, const char *why)
{
    PyErr_SetString(kind, why);
    return 0;
}

/* Whether an object is bytes; else with an exception. */
static inline int is_bytes(PyObject *object)
{
    return PyBytes_Check(object) || raised(PyExc_TypeError, "bytes are wanted");
}

/* Drops the result of a method; 0 where it raised. */
static inline int done(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL;
}

/* The result of a method: None, or NULL with the exception that was raised. */
static inline PyObject *none_if(int went_well)
{
    return went_well ? Py_NewRef(Py_None) : NULL;
}

/* Whether an address has a port: it is an InetAddress of model.py, a tuple of host and port. */
static inline int has_port(PyObject *address)
{
    return PyTuple_Check(address) && PyTuple_GET_SIZE(address) == 2;
}

#define FAST(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL

/* The slots tp_traverse, tp_clear and tp_dealloc of an object that holds REFERENCES to others. */
#define VISIT(name) Py_VISIT(self->name);
#define CLEAR(name) Py_CLEAR(self->name);
#define COLLECTED(type, REFERENCES) COLLECTED_AFTER(type, REFERENCES, (void) 0)

/* The same, with a STEP that runs before the references are cleared. */
#define COLLECTED_AFTER(type, REFERENCES, STEP)                                                                        \
    static int type##_traverse(PyObject *object, visitproc visit, void *arg)                                           \
    {                                                                                                                  \
        struct type *self = (struct type *) object;                                                                    \
        REFERENCES(VISIT)                                                                                              \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static int type##_clear(PyObject *object)                                                                          \
    {                                                                                                                  \
        struct type *self = (struct type *) object;                                                                    \
        STEP;                                                                                                          \
        REFERENCES(CLEAR)                                                                                              \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static void type##_dealloc(PyObject *object)                                                                       \
    {                                                                                                                  \
        PyObject_GC_UnTrack(object);                                                                                   \
        (void) type##_clear(object);                                                                                   \
        Py_TYPE(object)->tp_free(object);                                                                              \
    }

/* The slot tp_dealloc of an object that takes no part in garbage collection. */
#define DROP(name) Py_XDECREF(self->name);
#define HOLDING(type, REFERENCES)                                                                                      \
    static void type##_dealloc(PyObject *object)                                                                       \
    {                                                                                                                  \
        struct type *self = (struct type *) object;                                                                    \
        REFERENCES(DROP)                                                                                               \
        Py_TYPE(object)->tp_free(object);                                                                              \
    }

/* The first slots of a type whose objects are structs `type`; `flags` are those beside the default. */
#define TYPE(name, type, doc, flags)                                                                                   \
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "mailworker.native.core._core." name, .tp_doc = doc,                      \
                                .tp_basicsize = sizeof(struct type), .tp_flags = Py_TPFLAGS_DEFAULT | (flags)

/* The same with the slots that COLLECTED makes. */
#define COLLECTED_TYPE(name, type, doc, flags)                                                                         \
    TYPE(name, type, doc, Py_TPFLAGS_HAVE_GC | (flags)), .tp_traverse = type##_traverse, .tp_clear = type##_clear,     \
        .tp_dealloc = type##_dealloc

/* Checks the number of arguments. */
int counted(Py_ssize_t given, Py_ssize_t wanted);

int take_int(PyObject *argument, int *value);
int take_real(PyObject *argument, double *value);
int take_mask(PyObject *argument, uint64_t *value); /* the lowest 64 bits of an integer */

/* What an object calls its `kind`, a class derived from `base`: a new reference, NULL with an exception. */
PyTypeObject *take_kind(PyObject *object, PyTypeObject *base);

/* Takes the raised exception, as an object with its traceback; the reference is the caller's. */
PyObject *take_exception(void);

/* Raises an exception, whose reference it steals; NULL where the method that had to make it has raised one itself. */
void raise_error(PyObject *error);

#endif
