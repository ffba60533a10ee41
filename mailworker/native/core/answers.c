/* Finds what an auth service has answered before. recalled() of wire/auth_answers.py has the same in Python. */

#include "core.h"

#include <string.h>

#define DATE_LENGTH 29 /* RFC 9110 section 5.6.7, IMF-fixdate */

static const char name[] = "Date: ", blank_line[] = "\r\n\r\n";

#define NAME_LENGTH ((Py_ssize_t) sizeof(name) - 1)
#define LENGTH (2 + NAME_LENGTH + DATE_LENGTH) /* with the end of the line before it */

static int is_date(const char *value)
{
    return memchr(value, '\r', DATE_LENGTH) == NULL && memchr(value, '\n', DATE_LENGTH) == NULL &&
           memchr(value, '\0', DATE_LENGTH) == NULL && value[DATE_LENGTH] == '\r' && value[DATE_LENGTH + 1] == '\n';
}

/* Where the first Date begins, with the end of the line before it; NULL where there is none, or a broken one. */
static const char *find_date(const char *start, const char *end)
{
    const char *at = start;

    while ((at = memchr(at, '\n', (size_t) (end - at))) != NULL) {
        int is_end = at > start && at[-1] == '\r';

        at++;
        if (is_end && end - at >= NAME_LENGTH && memcmp(at, name, (size_t) NAME_LENGTH) == 0) {
            const char *value = at + NAME_LENGTH;

            return end - value >= DATE_LENGTH + 2 && is_date(value) ? at - 2 : NULL;
        }
    }
    return NULL;
}

/* The bytes that an answer is remembered by. */
static PyObject *without_date(PyObject *data)
{
    const char *start = PyBytes_AS_STRING(data), *end = start + PyBytes_GET_SIZE(data), *date = find_date(start, end);
    PyObject *rest;

    if (date == NULL) {
        return Py_NewRef(data);
    }
    rest = PyBytes_FromStringAndSize(NULL, end - start - LENGTH);
    if (rest != NULL) {
        memcpy(PyBytes_AS_STRING(rest), start, (size_t) (date - start));
        memcpy(PyBytes_AS_STRING(rest) + (date - start), date + LENGTH, (size_t) (end - date - LENGTH));
    }
    return rest;
}

static int is_header(PyObject *data)
{
    size_t length = (size_t) PyBytes_GET_SIZE(data), end = sizeof(blank_line) - 1;

    return length >= end && memcmp(PyBytes_AS_STRING(data) + length - end, blank_line, end) == 0;
}

static PyObject *recalled(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *key, *answer;

    if (!counted(given, 2)) {
        return NULL;
    }
    if (!PyDict_Check(arguments[0]) || !PyBytes_Check(arguments[1])) {
        return PyErr_Format(PyExc_TypeError, "recalled(known, data)");
    }
    key = is_header(arguments[1]) ? without_date(arguments[1]) : Py_NewRef(Py_None);
    answer = key == NULL ? NULL : PyDict_GetItemWithError(arguments[0], key);
    Py_XDECREF(key);
    return answer == NULL ? none_if(!PyErr_Occurred()) : Py_NewRef(answer);
}

PyMethodDef answer_functions[] = {
    {"recalled", FAST(recalled), "recalled(known, data): what is known about the same header but for its Date."},
    {NULL, NULL, 0, NULL},
};
