/* The module _core: the event core in C. event/ and other packages have its types and functions in Python, too. */

#include "core.h"

struct names names;
const struct transport *tls_transport;

int counted(Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", wanted, given);
    }
    return given == wanted;
}

int take_int(PyObject *argument, int *value)
{
    long number = PyLong_AsLong(argument);

    *value = (int) number;
    if (*value != number) {
        return raised(PyExc_OverflowError, "too large for an int of C");
    }
    return !(number == -1 && PyErr_Occurred());
}

int take_mask(PyObject *argument, uint64_t *value)
{
    *value = PyLong_AsUnsignedLongLongMask(argument);
    return !(*value == UINT64_MAX && PyErr_Occurred());
}

int take_real(PyObject *argument, double *value)
{
    *value = PyFloat_AsDouble(argument);
    return !(*value == -1.0 && PyErr_Occurred());
}

PyTypeObject *take_kind(PyObject *object, PyTypeObject *base)
{
    PyObject *kind = PyObject_GetAttr(object, names.kind);

    if (kind != NULL && !(PyType_Check(kind) && PyType_IsSubtype((PyTypeObject *) kind, base))) {
        PyErr_Format(PyExc_TypeError, "the kind is no %s", base->tp_name);
        Py_CLEAR(kind);
    }
    return (PyTypeObject *) kind;
}

PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *kind, *error, *trace;

    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
    }
    Py_DECREF(kind);
    Py_XDECREF(trace);
    return error;
#endif
}

void raise_error(PyObject *error)
{
    if (error != NULL) {
        PyErr_SetObject((PyObject *) Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

void *connection_of(PyObject *tls)
{
    PyObject *address = tls == Py_None ? NULL : PyObject_GetAttr(tls, names.address);
    void *connection = address == NULL ? NULL : PyLong_AsVoidPtr(address);

    Py_XDECREF(address);
    return connection;
}

PyObject *dressed(PyObject **tls, void *connection, char *bare)
{
    PyObject *address, *made;

    if (*bare) {
        address = PyLong_FromVoidPtr(connection);
        made = address == NULL ? NULL : PyObject_CallMethodOneArg(*tls, names.adopt, address);
        Py_XDECREF(address);
        if (made == NULL) {
            return NULL;
        }
        Py_SETREF(*tls, made);
        *bare = 0;
    }
    return Py_NewRef(*tls);
}

int tls_free(PyObject *tls, void *connection, int bare)
{
    if (bare) {
        tls_transport->end(connection);
        return 1;
    }
    return tls == Py_None || done(PyObject_CallMethodNoArgs(tls, names.free));
}

static PyObject *use_tls(PyObject *Py_UNUSED(module), PyObject *address)
{
    tls_transport = PyLong_AsVoidPtr(address);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"use_tls", use_tls, METH_O, "use_tls(address): set the address of the TLS transport."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mailworker.native.core._core",
    .m_size = -1,
    .m_methods = functions,
};

#define MAKE(name) (names.name = PyUnicode_InternFromString(#name)) != NULL &&
static int make_names(void)
{
    return NAMES(MAKE)(names.no_address = PyUnicode_InternFromString("unix:")) != NULL;
}

static int add_types(PyObject *module)
{
    PyTypeObject *types[] = {
        &timed_type,    &timers_type,      &loop_type,       &task_type,      &stream_type,        &line_type,
        &engine_type,   &pump_type,        &side_type,       &watched_type,   &session_tally_type, &limits_type,
        &rows_type,     &connections_type, &terms_type,      &pair_type,      &limited_type,       &guest_type,
        &lobby_type,    &conns_type,       &listed_type,     &direct_type,    &attempt_type,       &attempts_type,
        &holdings_type, &gate_type,        &identifier_type, &beginning_type,
#ifdef __linux__
        &epoll_type,
#endif
    };
    size_t i;

    task_type.tp_base = pair_type.tp_base = guest_type.tp_base = &timed_type;
    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (PyModule_AddType(module, types[i]) < 0) {
            return 0;
        }
    }
    return 1;
}

static int add_functions(PyObject *module)
{
    PyMethodDef *all[] = {
        answer_functions,     beginning_functions,     client_functions,   copy_functions,
        first_word_functions, plan_functions,          question_functions, record_functions,
        smtp_word_functions,  session_relay_functions, socket_functions,   word_functions,
    };
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (PyModule_AddFunctions(module, all[i]) < 0) {
            return 0;
        }
    }
    return 1;
}

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = make_names() && prepare_loop() && prepare_plans() && prepare_sockets() && prepare_records() &&
                               prepare_tallies() && prepare_writing() && prepare_smtp_words() && prepare_beginnings() &&
                               prepare_session_relays() && prepare_questions()
                           ? PyModule_Create(&definition)
                           : NULL;

    if (module != NULL && !(add_types(module) && add_functions(module))) {
        Py_CLEAR(module);
    }
    return module;
}
