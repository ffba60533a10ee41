/*
 * A task runs a coroutine. Every wake-up resumes one, which in Python cost more than most decisions of a session.
 * _task.pyi has the types.
 */

#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include "exception.h"
#include "timed.h"

#include <stddef.h>
#include <structmember.h>

static struct {
    PyObject *cancel_deadline, *close, *on_bug, *park, *throw, *timed_out;
} names;

struct task {
    struct timed timed;
    PyObject *loop;
    PyObject *coroutine;
    PyObject *waits_for; /* NULL while it runs */
};

static int task_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char *keys[] = {"loop", "coroutine", NULL};
    struct task *self = (struct task *) object;
    PyObject *loop, *coroutine;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO", keys, &loop, &coroutine)) {
        return -1;
    }
    Py_XSETREF(self->loop, Py_NewRef(loop));
    Py_XSETREF(self->coroutine, Py_NewRef(coroutine));
    return 0;
}

static int task_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct task *self = (struct task *) object;

    Py_VISIT(self->loop);
    Py_VISIT(self->coroutine);
    Py_VISIT(self->waits_for);
    return 0;
}

static int task_clear(PyObject *object)
{
    struct task *self = (struct task *) object;

    Py_CLEAR(self->waits_for);
    Py_CLEAR(self->coroutine);
    Py_CLEAR(self->loop);
    return 0;
}

static void task_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    (void) task_clear(object);
    Py_TYPE(object)->tp_free(object);
}

/* Tells the loop of the exception that was raised, unless it is one that ends the process. */
static PyObject *report_bug(struct task *self)
{
    PyObject *bug, *told;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    bug = take_exception();
    told = PyObject_CallMethodOneArg(self->loop, names.cancel_deadline, (PyObject *) self);
    if (told != NULL) {
        Py_SETREF(told, PyObject_CallMethodOneArg(self->loop, names.on_bug, bug));
    }
    Py_DECREF(bug);
    return told;
}

/* Raises `error` where the coroutine waits; gives what it then waits for. */
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

static PyObject *task_go_on(struct task *self, PyObject *error)
{
    PyObject *result = NULL;
    PySendResult status;

    Py_CLEAR(self->waits_for);
    if (error == Py_None) {
        status = PyIter_Send(self->coroutine, Py_None, &result);
    } else {
        status = throw_into(self->coroutine, error, &result);
    }
    if (status == PYGEN_NEXT) {
        self->waits_for = result;
        return PyObject_CallMethodOneArg(result, names.park, (PyObject *) self);
    }
    if (status == PYGEN_ERROR) {
        return report_bug(self);
    }
    Py_XDECREF(result);
    return PyObject_CallMethodOneArg(self->loop, names.cancel_deadline, (PyObject *) self);
}

static PyObject *task_resume(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    if (given > 1) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not 1", given);
        return NULL;
    }
    return task_go_on((struct task *) self, given ? arguments[0] : Py_None);
}

static PyObject *task_expire(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct task *self = (struct task *) object;
    PyObject *error, *done;

    if (self->waits_for == NULL) {
        Py_RETURN_NONE;
    }
    error = PyObject_CallMethodNoArgs(self->waits_for, names.timed_out);
    if (error == NULL) {
        return NULL;
    }
    done = task_go_on(self, error);
    Py_DECREF(error);
    return done;
}

static PyObject *task_cancel(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct task *self = (struct task *) object;
    PyObject *done = PyObject_CallMethodOneArg(self->loop, names.cancel_deadline, object);

    if (done == NULL) {
        return NULL;
    }
    Py_DECREF(done);
    done = PyObject_CallMethodNoArgs(self->coroutine, names.close);
    return done == NULL ? report_bug(self) : done;
}

static PyMemberDef task_members[] = {
    {"loop", T_OBJECT_EX, offsetof(struct task, loop), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef task_methods[] = {
    {"resume", (PyCFunction) (void (*)(void)) task_resume, METH_FASTCALL, "resume(error=None)"},
    {"expire", task_expire, METH_NOARGS, "The deadline has passed."},
    {"cancel", task_cancel, METH_NOARGS, "End the coroutine where it waits."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject task_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "mailworker.native.core._task.Task",
    .tp_doc = "Runs one coroutine.",
    .tp_basicsize = sizeof(struct task),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_init = task_init,
    .tp_traverse = task_traverse,
    .tp_clear = task_clear,
    .tp_dealloc = task_dealloc,
    .tp_members = task_members,
    .tp_methods = task_methods,
};

static const struct {
    PyObject **name;
    const char *text;
} texts[] = {
    {&names.cancel_deadline, "cancel_deadline"},
    {&names.close, "close"},
    {&names.on_bug, "on_bug"},
    {&names.park, "park"},
    {&names.throw, "throw"},
    {&names.timed_out, "timed_out"},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mailworker.native.core._task",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__task(void)
{
    size_t i;
    PyObject *module, *timers;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i].name = PyUnicode_InternFromString(texts[i].text);
        if (*texts[i].name == NULL) {
            return NULL;
        }
    }
    timers = PyImport_ImportModule("mailworker.native.core._timers");
    task_type.tp_base = timers == NULL ? NULL : (PyTypeObject *) PyObject_GetAttrString(timers, "Timed");
    Py_XDECREF(timers);
    if (task_type.tp_base == NULL) {
        return NULL;
    }
    module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddType(module, &task_type) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
