/* The exception that has been raised, as one object that is the caller's: no longer raised, with its traceback. */
static inline PyObject *take_exception(void)
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
