/* Paths of attributes from a session to a value, read by the slots of their classes. */

#include "path.h"

void step_learn(struct step *step, PyTypeObject *type)
{
    PyObject *found = PyObject_GetAttr((PyObject *) type, step->name);

    if (found == NULL) {
        PyErr_Clear();
    }
    Py_XSETREF(step->type, (PyTypeObject *) Py_NewRef(type));
    step->slot = 0;
    step->kind = T_NONE;
    step->last = NULL;
    step->constant = PyObject_HasAttr((PyObject *) type, names._member_map_);
    if (found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type) && PyType_IsSubtype(type, PyDescr_TYPE(found))) {
        const PyMemberDef *member = ((PyMemberDescrObject *) found)->d_member;

        if (member->type == T_OBJECT_EX || member->type == T_ULONGLONG || member->type == T_DOUBLE) {
            step->slot = member->offset;
            step->kind = member->type;
        }
    }
    Py_XDECREF(found);
}

void step_free(struct step *step)
{
    Py_CLEAR(step->name);
    Py_CLEAR(step->type);
    Py_CLEAR(step->constant_value);
}

PyObject *step_look_up(struct step *step, PyObject *object)
{
    PyObject *value;

    if (step->constant && step->last == object) {
        return Py_NewRef(step->constant_value);
    }
    value = PyObject_GetAttr(object, step->name);
    if (step->constant && value != NULL) {
        Py_XSETREF(step->constant_value, Py_NewRef(value));
        step->last = object; /* its type keeps it */
    }
    return value;
}

int step_give(PyObject *object, struct step *step, PyObject *value)
{
    PyObject **place;
    int given;

    if (value == NULL) {
        return 0;
    }
    place = step_place(step, object, T_OBJECT_EX);
    if (place != NULL) {
        Py_XSETREF(*place, value);
        return 1;
    }
    given = PyObject_SetAttr(object, step->name, value) == 0;
    Py_DECREF(value);
    return given;
}

int step_set(PyObject *object, struct step *step, PyObject *value)
{
    return step_give(object, step, Py_NewRef(value));
}

/* The object at the end of some steps; `owned` has to be dropped when that is no longer needed, unless NULL. */
static inline PyObject *walk(struct path *path, int length, PyObject *object, PyObject **owned)
{
    PyObject *here = object, *next, **place;
    int i;

    *owned = NULL;
    for (i = 0; i < length && here != Py_None; i++) {
        place = step_place(&path->steps[i], here, T_OBJECT_EX);
        next = place == NULL ? NULL : *place;
        if (next == NULL) {
            next = step_look_up(&path->steps[i], here);
            Py_XSETREF(*owned, next);
            if (next == NULL) {
                return NULL;
            }
        }
        here = next;
    }
    return here;
}

PyObject *path_walk(struct path *path, PyObject *object)
{
    PyObject *owned, *here = walk(path, path->length, object, &owned);

    if (here != owned) {
        Py_INCREF(here);
        Py_XDECREF(owned);
    }
    return here;
}

/* Reads the value at the end of a path; gives what has to be dropped after it was used, NULL for nothing. */
static PyObject *path_read(struct path *path, PyObject *object, struct value *value)
{
    PyObject *owned, *here = walk(path, path->length - 1, object, &owned);
    struct step *last = &path->steps[path->length - 1];
    const void *place;

    value_set(value, here);
    if (value->found == OBJECT) {
        place = step_slot(last, here); /* sets the kind, too */
        if (!value_read(value, place, last->kind)) {
            value_set(value, step_look_up(last, here));
            Py_XSETREF(owned, value->object);
        }
    }
    return owned;
}

enum found value_number(const struct value *value, double *number)
{
    switch (value->found) {
    case OBJECT:
        *number = PyLong_CheckExact(value->object) ? PyLong_AsDouble(value->object) : PyFloat_AsDouble(value->object);
        return *number == -1.0 && PyErr_Occurred() ? FAILED : REAL;
    case WHOLE:
        *number = (double) value->whole;
        return REAL;
    case REAL:
        *number = value->real;
        return REAL;
    default:
        return value->found;
    }
}

int value_is_true(const struct value *value)
{
    switch (value->found) {
    case FAILED:
        return -1;
    case NOTHING:
        return 0;
    case REAL:
        return value->real != 0;
    case WHOLE:
        return value->whole != 0;
    case TEXT:
        return value->length != 0;
    default:
        return PyObject_IsTrue(value->object);
    }
}

enum found path_number(struct path *path, PyObject *object, double *number)
{
    struct value value;
    PyObject *owned = path_read(path, object, &value);
    enum found found = value_number(&value, number);

    Py_XDECREF(owned);
    return found;
}

int path_whole(struct path *path, PyObject *object, uint64_t *number)
{
    struct value value;
    PyObject *owned = path_read(path, object, &value);
    int fine = value.found == OBJECT ? take_mask(value.object, number) : value.found != FAILED;

    if (value.found != OBJECT) {
        *number = value.found == WHOLE ? value.whole : 0;
    }
    Py_XDECREF(owned);
    return fine;
}

int path_has(struct path *path, PyObject *object)
{
    PyObject *found = path_slot(path, object), *owned;
    struct value value;
    int there;

    if (found == Py_True || found == Py_False) {
        return found == Py_True;
    }
    owned = path_read(path, object, &value);
    there = value_is_true(&value);
    Py_XDECREF(owned);
    return there;
}

int path_take(struct path *path, PyObject *text)
{
    PyObject *dot = PyUnicode_FromString("."), *steps = dot == NULL ? NULL : PyUnicode_Split(text, dot, -1);
    Py_ssize_t i, count = steps == NULL ? STEPS + 1 : PyList_GET_SIZE(steps);

    for (i = 0; i < count && count <= STEPS; i++) {
        path->steps[i].name = Py_NewRef(PyList_GET_ITEM(steps, i));
        PyUnicode_InternInPlace(&path->steps[i].name);
        path->length++;
    }
    if (count > STEPS && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "a path has too many steps");
    }
    Py_XDECREF(dot);
    Py_XDECREF(steps);
    return count <= STEPS;
}

int path_make(struct path *path, const char *text)
{
    PyObject *steps = PyUnicode_FromString(text);
    int taken = steps != NULL && path_take(path, steps);

    Py_XDECREF(steps);
    return taken;
}

int take_over(PyObject *type, PyMethodDef *methods)
{
    PyMethodDef *method;

    if (!PyType_Check(type)) {
        return raised(PyExc_TypeError, "no class");
    }
    for (method = methods; method->ml_name != NULL; method++) {
        PyObject *descriptor = PyDescr_NewMethod((PyTypeObject *) type, method);

        if (descriptor == NULL || PyObject_SetAttrString(type, method->ml_name, descriptor) < 0) {
            Py_XDECREF(descriptor);
            return 0;
        }
        Py_DECREF(descriptor);
    }
    return 1;
}

int path_lacks(struct path *path, PyObject *object)
{
    PyObject *value = path_follow(path, object);

    Py_XDECREF(value); /* the session still owns it */
    return value == NULL ? -1 : value == Py_None;
}
