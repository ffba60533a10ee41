/* Finds what an auth service has answered before. recalled() of wire/auth_answers.py has the same in Python. */

#include "core.h"

#include <string.h>

#define DATE_LENGTH 29 /* RFC 9110 section 5.6.7, IMF-fixdate */

static const char date[] = "\r\nDate: ", blank_line[] = "\r\n\r\n";

#define PREFIX (sizeof(date) - 1)

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
        const char *before = at++ - 1;

        if (before >= start && end - before >= (Py_ssize_t) PREFIX && memcmp(before, date, PREFIX) == 0) {
            const char *value = before + PREFIX;

            return end - value >= DATE_LENGTH + 2 && is_date(value) ? before : NULL;
        }
    }
    return NULL;
}

/* The bytes that an answer is remembered by. */
static PyObject *without_date(PyObject *data)
{
    const char *start = PyBytes_AS_STRING(data), *end = start + PyBytes_GET_SIZE(data), *found = find_date(start, end);
    size_t before = found == NULL ? 0 : (size_t) (found - start), dated = before + PREFIX + DATE_LENGTH;
    PyObject *rest;

    if (found == NULL) {
        return Py_NewRef(data);
    }
    rest = PyBytes_FromStringAndSize(NULL, (end - start) - (Py_ssize_t) (PREFIX + DATE_LENGTH));
    if (rest != NULL) {
        memcpy(PyBytes_AS_STRING(rest), start, before);
        memcpy(PyBytes_AS_STRING(rest) + before, start + dated, (size_t) (end - start) - dated);
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
