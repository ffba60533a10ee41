/*
 * Carries out the links of a session, as carry_out() of event/plan.py does. It takes the place of a coroutine: a task
 * sends to it, and it waits for whatever a plan's stream or a link's coroutine waits for.
 */

#include "core.h"

struct engine {
    PyObject_HEAD
    PyObject *chain; /* NULL at the end */
    PyObject *heard; /* see carry_out(); NULL for nothing */
    PyObject *link;  /* NULL before the first, and after the last */
    char begun;
    char waits;   /* whether the present plan has been begun */
    char failing; /* whether this is the last link */
};

static PyObject *peer_error; /* mailworker.errors.PeerError */

int prepare_plans(void)
{
    PyObject *module = PyImport_ImportModule("mailworker.errors");

    peer_error = module == NULL ? NULL : PyObject_GetAttrString(module, "PeerError");
    Py_XDECREF(module);
    return peer_error != NULL;
}

int is_peer_error(void)
{
    return PyErr_ExceptionMatches(peer_error);
}

PyObject *engine_for(PyObject *chain, PyObject *heard)
{
    struct engine *self = (struct engine *) engine_type.tp_alloc(&engine_type, 0);

    if (self != NULL) {
        self->chain = Py_NewRef(chain);
        self->heard = Py_XNewRef(heard);
    }
    return (PyObject *) self;
}

static PyObject *engine_made(PyObject *Py_UNUSED(type), PyObject *const *arguments, size_t flags, PyObject *keywords)
{
    Py_ssize_t given = PyVectorcall_NARGS(flags);

    if (given < 1 || given > 2 || keywords != NULL) {
        return PyErr_Format(PyExc_TypeError, "carry_out(chain, heard=None)");
    }
    return engine_for(arguments[0], given < 2 || arguments[1] == Py_None ? NULL : arguments[1]);
}

#define REFERENCES(REF) REF(chain) REF(heard) REF(link)
COLLECTED(engine, REFERENCES)

/* Makes a plan: a tuple, which needs no class of its own here. */
PyObject *plan_of(PyObject *const *fields)
{
    PyObject *made = PyTuple_New(PLAN_FIELDS);
    Py_ssize_t i;

    for (i = 0; made != NULL && i < PLAN_FIELDS; i++) {
        PyTuple_SET_ITEM(made, i, Py_NewRef(fields[i]));
    }
    return made;
}

static PyObject *plan(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return counted(given, PLAN_FIELDS) ? plan_of(arguments) : NULL;
}

PyMethodDef plan_functions[] = {
    {"plan", FAST(plan), "plan(stream, limit, steps, then, lost): see Plan."},
    {NULL, NULL, 0, NULL},
};

static int is_plan(PyObject *link)
{
    return PyTuple_Check(link) && PyTuple_GET_SIZE(link) == PLAN_FIELDS &&
           PyObject_TypeCheck(PyTuple_GET_ITEM(link, 0), &stream_type);
}

/* Takes the next link, whose reference it steals; 0 where that is NULL with an exception. */
static int follow(struct engine *self, PyObject *link)
{
    if (link == NULL) {
        return 0;
    }
    self->waits = 0;
    Py_XSETREF(self->link, link);
    if (link == Py_None) {
        Py_CLEAR(self->link);
    }
    return 1;
}

/* Takes the chain's last link after an exception, unless that ends the process or comes from the last link itself. */
static int fail(struct engine *self)
{
    PyObject *error, *link;

    if (self->failing || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return 0;
    }
    self->failing = 1;
    error = take_exception();
    link = PyObject_CallMethodOneArg(self->chain, names.fail, error);
    Py_DECREF(error);
    return follow(self, link);
}

/* Takes the next link after an exception in a plan's exchange. */
static int lose(struct engine *self)
{
    PyObject *plan, *error;
    int fine;

    if (!is_peer_error()) {
        return 0;
    }
    plan = Py_NewRef(self->link);
    error = take_exception();
    fine = follow(self, PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 4), error));
    Py_DECREF(error);
    Py_DECREF(plan);
    return fine;
}

/* Takes the next link after an exchange; `heard` is how many replies were usual, and the last one. */
static int answer(struct engine *self, PyObject *heard)
{
    PyObject *plan = Py_NewRef(self->link), *both[] = {PyTuple_GET_ITEM(heard, 0), PyTuple_GET_ITEM(heard, 1)};
    int fine = follow(self, PyObject_Vectorcall(PyTuple_GET_ITEM(plan, 3), both, 2, NULL));

    Py_DECREF(plan);
    Py_DECREF(heard);
    return fine;
}

/* The next functions give PYGEN_NEXT where the task has to wait, PYGEN_RETURN where there is a new link, or fail. */

static PySendResult exchange(struct engine *self, PyObject **result)
{
    struct stream *stream = (struct stream *) PyTuple_GET_ITEM(self->link, 0);
    PySendResult status = PYGEN_ERROR;

    if (self->waits || stream_exchange(stream, PyTuple_GET_ITEM(self->link, 1), PyTuple_GET_ITEM(self->link, 2))) {
        self->waits = 1;
        status = stream_go_on(stream, result);
    }
    if (status == PYGEN_RETURN) {
        return answer(self, *result) ? PYGEN_RETURN : PYGEN_ERROR;
    }
    return status == PYGEN_ERROR && lose(self) ? PYGEN_RETURN : status;
}

static PySendResult resume(struct engine *self, PyObject **result)
{
    PySendResult status = PyIter_Send(self->link, Py_None, result);

    if (status == PYGEN_RETURN) {
        (void) follow(self, *result);
    }
    return status;
}

static PyObject *first_link(struct engine *self)
{
    if (self->heard == NULL) {
        return PyObject_CallMethodNoArgs(self->chain, names.begin);
    }
    return PyObject_CallMethodOneArg(self->chain, PyBytes_Check(self->heard) ? names.begin_heard : names.begin_lost,
                                     self->heard);
}

static PySendResult go_on(struct engine *self, PyObject **result)
{
    PySendResult status = PYGEN_RETURN;

    if (!self->begun) {
        self->begun = 1;
        status = follow(self, first_link(self)) ? PYGEN_RETURN : PYGEN_ERROR;
        Py_CLEAR(self->heard);
    }
    for (;;) {
        if (status == PYGEN_ERROR && !fail(self)) {
            *result = NULL;
            return PYGEN_ERROR;
        }
        if (self->link == NULL) {
            *result = Py_NewRef(Py_None);
            return PYGEN_RETURN;
        }
        status = is_plan(self->link) ? exchange(self, result) : resume(self, result);
        if (status == PYGEN_NEXT) {
            return status;
        }
    }
}

static PySendResult engine_send(PyObject *object, PyObject *Py_UNUSED(value), PyObject **result)
{
    return go_on((struct engine *) object, result);
}

/* The result of a method or an iterator for such a status. */
static PyObject *given(PySendResult status, PyObject *result)
{
    if (status == PYGEN_RETURN) {
        Py_CLEAR(result);
        PyErr_SetNone(PyExc_StopIteration);
    }
    return status == PYGEN_NEXT ? result : NULL;
}

static PyObject *engine_next(PyObject *object)
{
    PyObject *result = NULL;
    PySendResult status = go_on((struct engine *) object, &result);

    return given(status, result);
}

static PyObject *engine_go_on(PyObject *object, PyObject *Py_UNUSED(none))
{
    return engine_next(object);
}

/* Takes the return value of a coroutine from its StopIteration. */
static PyObject *returned(void)
{
    PyObject *stop = take_exception(), *value = PyObject_GetAttrString(stop, "value");

    Py_DECREF(stop);
    return value;
}

static PyObject *engine_throw(PyObject *object, PyObject *error)
{
    struct engine *self = (struct engine *) object;
    PyObject *result = NULL;
    PySendResult status;
    int fine;

    if (self->link != NULL && !is_plan(self->link)) {
        result = PyObject_CallMethodOneArg(self->link, names.throw, error);
        if (result != NULL) {
            return result;
        }
        fine = PyErr_ExceptionMatches(PyExc_StopIteration) ? follow(self, returned()) : fail(self);
    } else {
        raise_error(Py_NewRef(error));
        fine = (self->link != NULL && lose(self)) || fail(self);
    }
    if (!fine) {
        return NULL;
    }
    status = go_on(self, &result);
    return given(status, result);
}

static PyObject *engine_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct engine *self = (struct engine *) object;

    if (self->link != NULL && !is_plan(self->link) &&
        !done(PyObject_CallMethodNoArgs(self->link, names.close))) { /* it may be running */
        return NULL;
    }
    self->begun = 1;
    Py_CLEAR(self->link);
    Py_RETURN_NONE;
}

static PyMethodDef engine_methods[] = {
    {"send", engine_go_on, METH_O, "send(None): continue."},
    {"throw", engine_throw, METH_O, "throw(error): raise the error where the current link waits."},
    {"close", engine_close, METH_NOARGS, "close(): stop at the current link."},
    {NULL, NULL, 0, NULL},
};

static PyObject *engine_self(PyObject *self)
{
    return Py_NewRef(self);
}

static PyAsyncMethods engine_async = {.am_await = engine_self, .am_send = engine_send};

PyTypeObject engine_type = {
    COLLECTED_TYPE("carry_out", engine, "carry_out(chain, heard=None): carry out all links of a session.",
                   Py_TPFLAGS_DISALLOW_INSTANTIATION), /* but by the next slot */
    .tp_vectorcall = engine_made,
    .tp_as_async = &engine_async,
    .tp_iter = engine_self,
    .tp_iternext = engine_next,
    .tp_methods = engine_methods,
};
