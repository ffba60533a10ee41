/* TLS connections, which the binding in native/tls makes and the event core uses by its transport. */

#include "core.h"

const struct transport *tls_transport;

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

PyMethodDef tls_functions[] = {
    {"use_tls", use_tls, METH_O, "use_tls(address): set the address of the TLS transport."},
    {NULL, NULL, 0, NULL},
};
