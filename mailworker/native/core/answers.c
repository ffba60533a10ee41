/* Finds what an auth service has answered before, and reads usual answers. wire/auth_answers.py has it in Python. */

#include "core.h"

#include <string.h>
#include <strings.h>

#define DATE_LENGTH 29 /* RFC 9110 section 5.6.7, IMF-fixdate */
#define HEADER_LIMIT 32768
#define LENGTH_DIGITS 5

static const char date_name[] = "Date: ", blank_line[] = "\r\n\r\n";

#define NAME_LENGTH ((Py_ssize_t) sizeof(date_name) - 1)
#define DATE_LINE (2 + NAME_LENGTH + DATE_LENGTH) /* with the end of the line before it */

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
        if (is_end && end - at >= NAME_LENGTH && memcmp(at, date_name, (size_t) NAME_LENGTH) == 0) {
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
    rest = PyBytes_FromStringAndSize(NULL, end - start - DATE_LINE);
    if (rest != NULL) {
        memcpy(PyBytes_AS_STRING(rest), start, (size_t) (date - start));
        memcpy(PyBytes_AS_STRING(rest) + (date - start), date + DATE_LINE, (size_t) (end - date - DATE_LINE));
    }
    return rest;
}

static int is_header(PyObject *data)
{
    size_t length = (size_t) PyBytes_GET_SIZE(data), end = sizeof(blank_line) - 1;

    return length >= end && memcmp(PyBytes_AS_STRING(data) + length - end, blank_line, end) == 0;
}

PyObject *answer_recalled(PyObject *known, PyObject *data)
{
    PyObject *key, *answer;

    if (!PyDict_Check(known) || !PyBytes_Check(data)) {
        return PyErr_Format(PyExc_TypeError, "recalled(known, data)");
    }
    key = is_header(data) ? without_date(data) : Py_NewRef(Py_None);
    answer = key == NULL ? NULL : PyDict_GetItemWithError(known, key);
    Py_XDECREF(key);
    return answer == NULL ? none_if(!PyErr_Occurred()) : Py_NewRef(answer);
}

static PyObject *recalled(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return counted(given, 2) ? answer_recalled(arguments[0], arguments[1]) : NULL;
}

static PyObject *key_of(PyObject *Py_UNUSED(module), PyObject *data)
{
    return is_bytes(data) ? without_date(data) : NULL;
}

/* A value of a header; `bytes` is NULL where the header is absent. */
struct value {
    const char *bytes;
    Py_ssize_t length;
};

/* The headers that a usual answer may have, beside those without meaning. */
enum used { STATUS, SERVER, PORT, USER, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, USED };

static const struct value used_names[USED] = {
    [STATUS] = {"auth-status", 11},
    [SERVER] = {"auth-server", 11},
    [PORT] = {"auth-port", 9},
    [USER] = {"auth-user", 9},
    [CONNECTION] = {"connection", 10},
    [CONTENT_LENGTH] = {"content-length", 14},
    [TRANSFER_ENCODING] = {"transfer-encoding", 17},
};

static int is_alphanumeric(char byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

static int is_text(char byte)
{
    return (unsigned char) byte >= ' ' && byte != 0x7f;
}

static int begins(const char *start, Py_ssize_t length, const char *with)
{
    Py_ssize_t least = (Py_ssize_t) strlen(with);

    return length >= least && strncasecmp(start, with, (size_t) least) == 0;
}

static int same_text(const struct value *value, const char *text)
{
    return value->length == (Py_ssize_t) strlen(text) && begins(value->bytes, value->length, text);
}

/* Takes the text of a line with its CRLF; gives where the next line begins, NULL for an unusual line. */
static const char *take_text(const char *at, const char *end, struct value *text)
{
    text->bytes = at;
    while (at < end && is_text(*at)) {
        at++;
    }
    text->length = at - text->bytes;
    return end - at >= 2 && at[0] == '\r' && at[1] == '\n' ? at + 2 : NULL;
}

static void strip(struct value *value)
{
    while (value->length > 0 && value->bytes[0] == ' ') {
        value->bytes++;
        value->length--;
    }
    while (value->length > 0 && value->bytes[value->length - 1] == ' ') {
        value->length--;
    }
}

/* Keeps the value of a header that is used; gives 0 for one that makes the answer unusual. */
static int keep(struct value *values, const char *header, Py_ssize_t length, const struct value *value)
{
    enum used used;

    for (used = STATUS; used < USED; used++) {
        if (used_names[used].length == length && strncasecmp(header, used_names[used].bytes, (size_t) length) == 0) {
            if (values[used].bytes != NULL) {
                return 0;
            }
            values[used] = *value;
            strip(&values[used]);
            return 1;
        }
    }
    return !begins(header, length, "auth-");
}

/* Takes one header with its CRLF; gives where the next line begins, NULL for an unusual one. */
static const char *take_header(const char *at, const char *end, struct value *values)
{
    const char *header = at, *next;
    Py_ssize_t length;
    struct value value;

    if (!is_alphanumeric(*at)) {
        return NULL;
    }
    while (at < end && (is_alphanumeric(*at) || *at == '-')) {
        at++;
    }
    length = at - header;
    if (at == end || *at != ':') {
        return NULL;
    }
    next = take_text(at + 1, end, &value);
    return next != NULL && keep(values, header, length, &value) ? next : NULL;
}

/* Takes "HTTP/1.x 200" and any reason; gives where the next line begins. */
static const char *take_status_line(const char *at, const char *end, int *persistent)
{
    struct value line;
    const char *next = take_text(at, end, &line);

    if (next == NULL || line.length < 12 || memcmp(at, "HTTP/1.", 7) != 0 || (at[7] != '0' && at[7] != '1') ||
        memcmp(at + 8, " 200", 4) != 0 || (line.length > 12 && at[12] != ' ')) {
        return NULL;
    }
    *persistent = at[7] == '1';
    return next;
}

/* Takes a header up to its blank line, behind which nothing follows. */
static int take_head(PyObject *data, struct value *values, int *persistent)
{
    const char *at = PyBytes_AS_STRING(data), *end = at + PyBytes_GET_SIZE(data);

    if (end - at > HEADER_LIMIT) {
        return 0;
    }
    at = take_status_line(at, end, persistent);
    while (at != NULL && at < end && *at != '\r') {
        at = take_header(at, end, values);
    }
    return at != NULL && end - at == 2 && at[0] == '\r' && at[1] == '\n';
}

static int accepts(const struct value *values)
{
    const struct value *status = &values[STATUS], *server = &values[SERVER];

    return status->length == 2 && memcmp(status->bytes, "OK", 2) == 0 && server->length > 0 &&
           values[PORT].length > 0 && !begins(server->bytes, server->length, "unix:");
}

/* The length of the body, -1 where the connection cannot be used again, -2 for an unusual answer. */
static long body_length(const struct value *values, int persistent)
{
    const struct value *connection = &values[CONNECTION], *length = &values[CONTENT_LENGTH];
    long number = 0;
    Py_ssize_t i;

    if (connection->bytes != NULL && !same_text(connection, "close") && !same_text(connection, "keep-alive")) {
        return -2;
    }
    if (length->bytes != NULL && (length->length < 1 || length->length > LENGTH_DIGITS)) {
        return -2;
    }
    for (i = 0; i < length->length; i++) {
        if (length->bytes[i] < '0' || length->bytes[i] > '9') {
            return -2;
        }
        number = 10 * number + (length->bytes[i] - '0');
    }
    return persistent && length->bytes != NULL && values[TRANSFER_ENCODING].bytes == NULL &&
                   !(connection->bytes != NULL && same_text(connection, "close"))
               ? number
               : -1;
}

static PyObject *usual_answer(PyObject *Py_UNUSED(module), PyObject *data)
{
    struct value values[USED] = {{NULL, 0}};
    int persistent;
    long length;

    if (!is_bytes(data)) {
        return NULL;
    }
    if (!take_head(data, values, &persistent) || !accepts(values) || (length = body_length(values, persistent)) == -2) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("y#y#y#N", values[SERVER].bytes, values[SERVER].length, values[PORT].bytes,
                         values[PORT].length, values[USER].bytes, values[USER].length,
                         length == -1 ? Py_NewRef(Py_None) : PyLong_FromLong(length));
}

PyMethodDef answer_functions[] = {
    {"recalled", FAST(recalled), "recalled(known, data): what is known about the same header but for its Date."},
    {"usual_answer", usual_answer, METH_O, "usual_answer(data): what a usual answer contains; None for another."},
    {"without_date", key_of, METH_O, "without_date(data): a header without its Date."},
    {NULL, NULL, 0, NULL},
};
