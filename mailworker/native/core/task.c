/* A task runs a coroutine. Every wake-up resumes one, which in Python costs more than most steps of a session. */

#include "core.h"

#include <math.h>

struct task *task_for(struct loop *loop, PyObject *coroutine)
{
    struct task *self = (struct task *) task_type.tp_alloc(&task_type, 0);

    if (self != NULL) {
        self->timed.deadline = INFINITY;
        self->loop = (struct loop *) Py_NewRef(loop);
        self->coroutine = Py_NewRef(coroutine);
    }
    return self;
}

static PyObject *task_made(PyObject *Py_UNUSED(type), PyObject *const *arguments, size_t flags, PyObject *keywords)
{
    if (keywords != NULL) {
        return PyErr_Format(PyExc_TypeError, "Task(loop, coroutine)");
    }
    if (!counted(PyVectorcall_NARGS(flags), 2) || !is_loop(arguments[0])) {
        return NULL;
    }
    return (PyObject *) task_for((struct loop *) arguments[0], arguments[1]);
}

#define REFERENCES(REF) REF(loop) REF(coroutine) REF(waits_for)
COLLECTED(task, REFERENCES)

/* Passes the raised exception to the loop's on_bug, unless it ends the process. */
static int report_bug(struct task *self)
{
    PyObject *bug;
    int told;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return 0;
    }
    bug = take_exception();
    timers_cancel(&self->timed);
    told = done(PyObject_CallOneArg(self->loop->on_bug, bug));
    Py_DECREF(bug);
    return told;
}

/* Raises `error` where the coroutine waits; gives what it waits for next. */
static PySendResult throw_into(PyObject *coroutine, PyObject *error, PyObject **result)
{
    *result = PyObject_CallMethodOneArg(coroutine, names.throw, error);
    if (*result != NULL) {
        return PYGEN_NEXT;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return PYGEN_ERROR;
    }
    PyErr_Clear();
    return PYGEN_RETURN;
}

static int park(struct task *self, PyObject *waitable)
{
    self->waits_for = waitable;
    if (PyObject_TypeCheck(waitable, &stream_type)) {
        return stream_park((struct stream *) waitable, (PyObject *) self);
    }
    return done(PyObject_CallMethodOneArg(waitable, names.park, (PyObject *) self));
}

/* Raises in the coroutine what was raised by `park`: nothing else would ever resume it. */
static int fail_to_wait(struct task *self)
{
    PyObject *error;
    int fine;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return 0;
    }
    error = take_exception();
    fine = task_resume(self, error);
    Py_DECREF(error);
    return fine;
}

int task_resume(struct task *self, PyObject *error)
{
    PyObject *result = NULL;
    PySendResult status;

    Py_CLEAR(self->waits_for);
    if (error == NULL || error == Py_None) {
        status = PyIter_Send(self->coroutine, Py_None, &result);
    } else {
        status = throw_into(self->coroutine, error, &result);
    }
    if (status == PYGEN_NEXT) {
        return park(self, result) || fail_to_wait(self);
    }
    if (status == PYGEN_ERROR) {
        return report_bug(self);
    }
    Py_XDECREF(result);
    timers_cancel(&self->timed);
    return 1;
}

static PyObject *resume(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    if (given > 1) {
        return PyErr_Format(PyExc_TypeError, "%zd arguments, not 1", given);
    }
    return none_if(task_resume((struct task *) self, given ? arguments[0] : NULL));
}

/* Ends the wait as after the deadline; the coroutine gets the error of that, or another one that is not NULL. */
static PyObject *end_wait(PyObject *object, PyObject *error)
{
    struct task *self = (struct task *) object;
    PyObject *timed_out;
    int fine;

    if (self->waits_for == NULL) {
        Py_RETURN_NONE;
    }
    timed_out = PyObject_CallMethodNoArgs(self->waits_for, names.timed_out);
    fine = timed_out != NULL && task_resume(self, error == NULL ? timed_out : error);
    Py_XDECREF(timed_out);
    return none_if(fine);
}

static PyObject *cancel(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct task *self = (struct task *) object;
    int fine;

    timers_cancel(&self->timed);
    fine = done(PyObject_CallMethodNoArgs(self->coroutine, names.close)) || report_bug(self);
    Py_CLEAR(self->waits_for);
    return none_if(fine);
}

static PyMemberDef task_members[] = {
    {"loop", T_OBJECT_EX, offsetof(struct task, loop), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef task_methods[] = {
    {"resume", FAST(resume), "resume(error=None)"},
    {"expire", end_wait, METH_NOARGS, "The deadline has passed."},
    {"interrupt", end_wait, METH_O, "interrupt(error): raise it where the coroutine waits."},
    {"cancel", cancel, METH_NOARGS, "End the coroutine where it waits."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject task_type = {
    COLLECTED_TYPE("Task", task, "Runs one coroutine.", Py_TPFLAGS_DISALLOW_INSTANTIATION), /* but by the next slot */
    .tp_vectorcall = task_made,
    .tp_members = task_members,
    .tp_methods = task_methods,
};
