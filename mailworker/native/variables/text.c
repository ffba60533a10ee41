/* Texts that are put together from literals and values. */

#include "text.h"

#include <math.h>

char *text_enlarge(struct text *text, size_t length)
{
    size_t before = text_length(text), wanted = 2 * (before + length + SLACK);
    char *larger = PyMem_Realloc(text->start == text->usual ? NULL : text->start, wanted);

    if (larger == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (text->start == text->usual) {
        memcpy(larger, text->usual, before);
    }
    text->start = larger;
    text->end = larger + before;
    text->limit = larger + wanted;
    return text->end;
}

/* Adds the result of a call, and drops it: bytes, or NULL with an exception. */
static int add_result(struct text *text, PyObject *bytes)
{
    int went_well = bytes != NULL && is_bytes(bytes) && text_add_bytes(text, bytes);

    Py_XDECREF(bytes);
    return went_well;
}

/* Writes the last digits of a number before a place. */
static inline void put_digits(char *end, int count, unsigned int number)
{
    for (; count > 0; count--, number /= 10) {
        *--end = (char) ('0' + number % 10);
    }
}

char *put_whole(char *place, unsigned long long number)
{
    unsigned long long bound = 100;
    int count = 2;

    if (number < 10) {
        *place = (char) ('0' + number);
        return place + 1;
    }
    if (number > UINT32_MAX) { /* what is smaller is divided faster */
        place = put_whole(place, number / 1000000000) + 9;
        put_digits(place, 9, (unsigned int) (number % 1000000000));
        return place;
    }
    for (; number >= bound; bound *= 10) {
        count++;
    }
    put_digits(place + count, count, (unsigned int) number);
    return place + count;
}

static int add_integer(struct text *text, PyObject *value)
{
    char *place = text_room(text, DIGITS);
    PyObject *digits;
    long long number;
    int overflow, went_well;

    if (place == NULL) {
        return 0;
    }
    number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (number >= 0 && !overflow) {
        text->end = put_whole(place, (unsigned long long) number);
        return 1;
    }
    digits = PyNumber_ToBase(value, 10);
    went_well = digits != NULL && add_result(text, PyUnicode_AsLatin1String(digits));
    Py_XDECREF(digits);
    return went_well;
}

/* Writes a number with three decimals, rounded as by Python; NULL where only Python can write it. */
static char *put_real(char *place, double real)
{
    double scaled = real * 1000, rest;
    unsigned int number = real > 0 && real < 1e6 ? (unsigned int) scaled : 0;

    rest = signbit(real) ? -1 : scaled - number;
    if (!(rest >= 0 && rest < 1 && fabs(rest - 0.5) > 1e-6)) { /* too near a half, or no such number */
        return NULL;
    }
    number += rest > 0.5;
    place = put_whole(place, number / 1000);
    *place = '.';
    put_digits(place + 4, 3, number);
    return place + 4;
}

int text_add_real(struct text *text, double number)
{
    char *place = text_room(text, DIGITS), *end = place == NULL ? NULL : put_real(place, number), *written;
    int went_well;

    if (end != NULL) {
        text->end = end;
        return 1;
    }
    written = place == NULL ? NULL : PyOS_double_to_string(number, 'f', 3, 0, NULL);
    went_well = written != NULL && text_add(text, written, strlen(written));
    PyMem_Free(written);
    return went_well;
}

/* Whether all bytes are visible ASCII that no form of output escapes. */
static int is_plain(const char *bytes, size_t length)
{
    size_t i = 0;

    while (i < length && bytes[i] > ' ' && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '%' && bytes[i] != '\\') {
        i++;
    }
    return i == length;
}

int text_add_object(struct text *text, PyObject *value, PyObject *written)
{
    if (PyBytes_Check(value)) {
        if (written == NULL || is_plain(PyBytes_AS_STRING(value), (size_t) PyBytes_GET_SIZE(value))) {
            return text_add_bytes(text, value);
        }
        return add_result(text, PyObject_CallOneArg(written, value));
    }
    if (PyUnicode_Check(value)) {
        if (PyUnicode_IS_COMPACT_ASCII(value)) {
            return text_add(text, PyUnicode_DATA(value), (size_t) PyUnicode_GET_LENGTH(value));
        }
        return add_result(text, PyUnicode_AsLatin1String(value));
    }
    if (PyLong_Check(value)) {
        return add_integer(text, value);
    }
    if (PyFloat_Check(value)) {
        return text_add_real(text, PyFloat_AS_DOUBLE(value));
    }
    PyErr_Format(PyExc_TypeError, "a %s is no value of a line", Py_TYPE(value)->tp_name);
    return 0;
}
