/* An exchange: steps of a command and its usual reply, one after the other, in one action of a stream. */

#include "action.h"
#include "reply.h"

static int is_expected(PyObject *reply, PyObject *step)
{
    PyObject *wanted = PyTuple_GET_ITEM(step, 1);
    PyObject *last = PyTuple_GET_ITEM(wanted, 0), *others = PyTuple_GET_ITEM(wanted, 1);

    if (PyAnySet_Check(last)) {
        return PySet_Contains(last, reply) == 1; /* bytes always have a hash */
    }
    return reply_is_whole(PyBytes_AS_STRING(reply), (size_t) PyBytes_GET_SIZE(reply), PyBytes_AS_STRING(last),
                          (size_t) PyBytes_GET_SIZE(last), others == Py_None ? NULL : PyBytes_AS_STRING(others),
                          others == Py_None ? 0 : (size_t) PyBytes_GET_SIZE(others));
}

/* Begins to write a command, unless it is None, and then to read. */
static void say(struct stream *self, PyObject *command)
{
    self->offset = 0;
    self->waited = 0;
    Py_XSETREF(self->data, command == Py_None ? NULL : Py_NewRef(command));
}

static void begin_step(struct stream *self, Py_ssize_t number)
{
    PyObject *step = PyTuple_GET_ITEM(self->steps, number);
    PyObject *others = PyTuple_GET_ITEM(PyTuple_GET_ITEM(step, 1), 1);

    self->step = number;
    self->choices = PyTuple_Check(others) ? others : NULL;
    say(self, PyTuple_GET_ITEM(step, 0));
}

/* The fields of a Choice, see event/choice.py. */
enum { START, ARGUMENT, ANSWER, CHOICES, CHOICE_FIELDS };

static PyObject *chosen(PyObject *choices, PyObject *words)
{
    Py_ssize_t i;

    for (i = 0; i < PyTuple_GET_SIZE(choices); i++) {
        PyObject *choice = PyTuple_GET_ITEM(choices, i), *start = PyTuple_GET_ITEM(choice, START);

        if (line_fits(PyBytes_AS_STRING(words), (size_t) PyBytes_GET_SIZE(words), PyBytes_AS_STRING(start),
                      (size_t) PyBytes_GET_SIZE(start),
                      (enum argument) PyLong_AsLong(PyTuple_GET_ITEM(choice, ARGUMENT)))) {
            return choice;
        }
    }
    return NULL;
}

/* Appends the peer's words to `heard`, steals their reference, and goes on with the answer to them. */
static int serve(struct stream *self, PyObject *choice, PyObject *words)
{
    if (self->heard == NULL) {
        self->heard = words;
    } else {
        PyBytes_ConcatAndDel(&self->heard, words);
    }
    self->choices = PyTuple_GET_ITEM(choice, CHOICES);
    say(self, PyTuple_GET_ITEM(choice, ANSWER));
    return self->heard != NULL;
}

/* A tuple of two objects, whose references it steals; NULL with an exception, also where the first is NULL. */
static PyObject *both(PyObject *first, PyObject *second)
{
    PyObject *made = first == NULL ? NULL : PyTuple_New(2);

    if (made == NULL) {
        Py_XDECREF(first);
        Py_DECREF(second);
        return NULL;
    }
    PyTuple_SET_ITEM(made, 0, first);
    PyTuple_SET_ITEM(made, 1, second);
    return made;
}

PySendResult go_on_exchanging(struct stream *self, PyObject **result)
{
    PySendResult status;

    for (;;) {
        PyObject *reply = NULL, *choice;
        int usual;

        if (!self->late && (self->data != NULL || self->address != NULL)) {
            return stream_put_off(self, result);
        }
        if (!stream_reach(self)) {
            return PYGEN_ERROR;
        }
        if (self->data != NULL) {
            status = go_on_writing(self, result);
            if (status != PYGEN_RETURN) {
                return status;
            }
            Py_CLEAR(*result);
        }
        self->late = 0;
        status = go_on_reading(self, &reply);
        if (status != PYGEN_RETURN) {
            *result = reply;
            return status;
        }
        choice = self->choices == NULL ? NULL : chosen(self->choices, reply);
        if (choice != NULL) {
            if (!serve(self, choice, reply)) {
                return PYGEN_ERROR;
            }
            continue;
        }
        usual = self->choices == NULL && is_expected(reply, PyTuple_GET_ITEM(self->steps, self->step));
        if (!usual || self->step + 1 == PyTuple_GET_SIZE(self->steps)) {
            *result = both(PyLong_FromSsize_t(self->step + usual), reply);
            self->choices = NULL;
            Py_CLEAR(self->steps);
            return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
        }
        Py_DECREF(reply);
        begin_step(self, self->step + 1);
    }
}

static int is_bytes_or_none(PyObject *object)
{
    return object == Py_None || PyBytes_Check(object);
}

/* Whether it is a tuple of tuples with the fields of Choice. */
static int are_choices(PyObject *choices)
{
    Py_ssize_t i;

    if (!PyTuple_Check(choices)) {
        return 0;
    }
    for (i = 0; i < PyTuple_GET_SIZE(choices); i++) {
        PyObject *choice = PyTuple_GET_ITEM(choices, i);

        if (!PyTuple_Check(choice) || PyTuple_GET_SIZE(choice) != CHOICE_FIELDS ||
            !PyBytes_Check(PyTuple_GET_ITEM(choice, START)) || !PyLong_Check(PyTuple_GET_ITEM(choice, ARGUMENT)) ||
            !PyBytes_Check(PyTuple_GET_ITEM(choice, ANSWER)) || !are_choices(PyTuple_GET_ITEM(choice, CHOICES))) {
            return 0;
        }
    }
    return 1;
}

/* Whether it is (command or None, (last, others or None, ...)); last may be a set, and others may be choices. */
static int is_step(PyObject *step)
{
    PyObject *wanted;

    if (!PyTuple_Check(step) || PyTuple_GET_SIZE(step) != 2 || !is_bytes_or_none(PyTuple_GET_ITEM(step, 0))) {
        return 0;
    }
    wanted = PyTuple_GET_ITEM(step, 1);
    return PyTuple_Check(wanted) && PyTuple_GET_SIZE(wanted) >= 2 &&
           (PyBytes_Check(PyTuple_GET_ITEM(wanted, 0)) || PyAnySet_Check(PyTuple_GET_ITEM(wanted, 0))) &&
           (is_bytes_or_none(PyTuple_GET_ITEM(wanted, 1)) || are_choices(PyTuple_GET_ITEM(wanted, 1)));
}

int stream_exchange(struct stream *self, PyObject *limit, PyObject *steps)
{
    Py_ssize_t count = PyTuple_Check(steps) ? PyTuple_GET_SIZE(steps) : 0, i;

    for (i = 0; i < count && is_step(PyTuple_GET_ITEM(steps, i)); i++) {
    }
    if (count == 0 || i < count) {
        return raised(PyExc_ValueError, "a step is a command, and how the lines of its reply start");
    }
    if (!begin_reading(self, limit, go_on_exchanging)) {
        return 0;
    }
    Py_CLEAR(self->heard);
    Py_XSETREF(self->steps, Py_NewRef(steps));
    begin_step(self, 0);
    return 1;
}
