/* The beginning of the sessions of guests; see event/beginning.py, and `of` of mail/session.py. */

#include "core.h"
#include "path.h"

struct beginning {
    PyObject_HEAD
    vectorcallfunc call;
    struct loop *loop;
    PyObject *pattern;
    PyObject *lost;
    int listed; /* whether there is a session table */
};

/* The session of a guest, copied from the pattern. */
static PyObject *session_of(PyObject *pattern, const struct guest *guest)
{
    PyObject *number = PyLong_FromLongLong(guest->number), *accepted = PyFloat_FromDouble(guest->accepted);
    PyObject *arguments[] = {pattern, number, (PyObject *) guest->stream, guest->peer, accepted}, *session = NULL;

    if (number != NULL && accepted != NULL) {
        session = PyObject_VectorcallMethod(names.of, arguments, 5, NULL);
    }
    Py_XDECREF(number);
    Py_XDECREF(accepted);
    return session;
}

/* Drops a session that nobody carries out, as memory is lacking; the exception stays raised. */
static int drop(PyObject *session)
{
    PyObject *error = take_exception();

    if (!done(PyObject_CallMethodNoArgs(session, names.drop))) {
        PyErr_Clear();
    }
    raise_error(error);
    return 0;
}

static int begin(const struct beginning *self, PyObject *session, PyObject *words)
{
    PyObject *engine = engine_for(session, words);
    struct task *task = engine == NULL ? NULL : task_for(self->loop, engine);
    int fine;

    Py_XDECREF(engine);
    fine = task != NULL && (!self->listed || done(PyObject_CallMethodOneArg(session, names.enlist, (PyObject *) task)));
    fine = fine ? task_resume(task, NULL) : drop(session);
    Py_XDECREF(task);
    return fine;
}

static PyObject *left(PyObject *object, PyObject *const *arguments, size_t flags, PyObject *keywords)
{
    struct beginning *self = (struct beginning *) object;
    PyObject *session;
    int fine;

    if (!counted(PyVectorcall_NARGS(flags), 2)) {
        return NULL;
    }
    if (!PyBytes_Check(arguments[1])) {
        return PyObject_Vectorcall(self->lost, arguments, 2, keywords);
    }
    if (!Py_IS_TYPE(arguments[0], &guest_type)) {
        return PyErr_Format(PyExc_TypeError, "no guest");
    }
    session = session_of(self->pattern, (struct guest *) arguments[0]);
    fine = session != NULL && begin(self, session, arguments[1]);
    Py_XDECREF(session);
    return none_if(fine);
}

static PyObject *beginning_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *loop, *pattern, *lost;
    struct beginning *self;
    int listed;

    if (!PyArg_ParseTuple(arguments, "OOOp", &loop, &pattern, &lost, &listed) || !is_loop(loop)) {
        return NULL;
    }
    self = (struct beginning *) type->tp_alloc(type, 0);
    if (self != NULL) {
        self->call = left;
        self->loop = (struct loop *) Py_NewRef(loop);
        self->pattern = Py_NewRef(pattern);
        self->lost = Py_NewRef(lost);
        self->listed = listed;
    }
    return (PyObject *) self;
}

#define REFERENCES(REF) REF(loop) REF(pattern) REF(lost)
COLLECTED(beginning, REFERENCES)

PyTypeObject beginning_type = {
    COLLECTED_TYPE("Beginning", beginning, "Begins the sessions of guests.", Py_TPFLAGS_HAVE_VECTORCALL),
    .tp_vectorcall_offset = offsetof(struct beginning, call),
    .tp_call = PyVectorcall_Call,
    .tp_new = beginning_new,
};

#define FIELDS(FIELD) FIELD(_peer) FIELD(facts) FIELD(log) FIELD(stream)
#define WAYS(WAY) WAY(facts, "facts") WAY(log, "log")
#define WORDS(WORD) WORD(begun)

ATTRIBUTES;

int prepare_beginnings(void)
{
    return MAKE_ATTRIBUTES;
}

static PyObject *of(PyObject *pattern, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *session, *log, *record = NULL, *facts;
    int fine;

    if (!counted(given, 4) || (session = copied(NULL, pattern)) == NULL) {
        return NULL;
    }
    log = path_follow(&ways.log, pattern);
    facts = path_follow(&ways.facts, pattern);
    if (log != NULL && facts != NULL) {
        PyObject *all[] = {log, arguments[0], arguments[2], arguments[3], arguments[1]};

        record = PyObject_VectorcallMethod(words.begun, all, 5, NULL);
    }
    fine = record != NULL && step_set(session, &fields.log, record) &&
           step_set(session, &fields.stream, arguments[1]) && step_set(session, &fields._peer, arguments[2]) &&
           (facts == Py_None || step_set(session, &fields.facts, record));
    Py_XDECREF(log);
    Py_XDECREF(facts);
    Py_XDECREF(record);
    if (!fine) {
        Py_CLEAR(session);
    }
    return session;
}

static PyMethodDef session_methods[] = {
    {"of", FAST(of), "of(number, stream, peer, accepted): a session of another client, copied from this pattern."},
    {NULL, NULL, 0, NULL},
};

static PyObject *note_sessions(PyObject *Py_UNUSED(module), PyObject *type)
{
    return none_if(take_over(type, session_methods));
}

PyMethodDef beginning_functions[] = {
    {"note_sessions", note_sessions, METH_O, "note_sessions(type): make C implement a method of the session's class."},
    {NULL, NULL, 0, NULL},
};
