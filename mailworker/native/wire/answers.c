/* Finds what an auth service has answered before, by the headers that count. wire/auth_answers.py has it in Python. */

#include "wire.h"

#include <string.h>
#include <strings.h>

static const char blank_line[] = "\r\n\r\n", known_letters[] = "act";

/* The headers that are told apart from the others, and what stands for their lines. */
enum told { LOGIN, PASSWORD, TOLD };

static const char *const told_names[TOLD] = {[LOGIN] = "auth-user", [PASSWORD] = "auth-pass"};
static const char *const told_lines[TOLD] = {[LOGIN] = "\0user\n", [PASSWORD] = "\0pass\n"};

#define NAME_LENGTH ((Py_ssize_t) strlen("auth-user"))
#define TOLD_LENGTH 6 /* of the lines that stand for them */

/* What counts in a header, while it is read and after it; the references are its own. */
struct counting {
    PyObject *lines;      /* NULL while all lines count */
    char *end;            /* of those that are copied */
    const char *rest;     /* where those begin that are not copied yet */
    PyObject *told[TOLD]; /* NULL if absent */
};

static void forget(struct counting *header)
{
    Py_CLEAR(header->lines);
    Py_CLEAR(header->told[LOGIN]);
    Py_CLEAR(header->told[PASSWORD]);
}

static int is_alphanumeric(char byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

/* Whether a line, without its end, is a valid header whose name begins with another letter than all known ones. */
static int is_unread(const char *at, const char *end)
{
    if (at == end || !is_alphanumeric(*at) || strchr(known_letters, *at | 0x20) != NULL) {
        return 0;
    }
    while (at < end && (is_alphanumeric(*at) || *at == '-')) {
        at++;
    }
    return at < end && *at == ':' && memchr(at, '\r', (size_t) (end - at)) == NULL;
}

/* Which header is told apart; TOLD for any other line. */
static enum told which_told(const char *at, const char *end)
{
    enum told each;

    if (end - at < NAME_LENGTH || (end - at > NAME_LENGTH && at[NAME_LENGTH] != ':')) {
        return TOLD;
    }
    for (each = LOGIN; each < TOLD; each++) {
        if (strncasecmp(at, told_names[each], (size_t) NAME_LENGTH) == 0) {
            return memchr(at, '\r', (size_t) (end - at)) == NULL ? each : TOLD;
        }
    }
    return TOLD;
}

/* The value of a header without the spaces around it. */
static PyObject *value_of(const char *at, const char *end)
{
    at += NAME_LENGTH + (end - at > NAME_LENGTH); /* the colon may be missing */
    while (at < end && *at == ' ') {
        at++;
    }
    while (end > at && end[-1] == ' ') {
        end--;
    }
    return PyBytes_FromStringAndSize(at, end - at);
}

/* Copies the lines before one that is not copied. */
static int copy_lines(struct counting *header, PyObject *data, const char *at, const char *next)
{
    size_t length = (size_t) (at - header->rest);

    if (header->lines == NULL) {
        header->lines = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(data));
        if (header->lines == NULL) {
            return 0;
        }
        header->end = PyBytes_AS_STRING(header->lines);
    }
    memcpy(header->end, header->rest, length);
    header->end += length;
    header->rest = next;
    return 1;
}

/* Takes one header with its LF; gives 0 with an exception. */
static int take_line(struct counting *header, PyObject *data, const char *at, const char *next)
{
    const char *end = next - 1 - (next - 1 > at && next[-2] == '\r');
    enum told told = which_told(at, end);

    if (told == TOLD) {
        return !is_unread(at, end) || copy_lines(header, data, at, next);
    }
    Py_XSETREF(header->told[told], value_of(at, end));
    if (header->told[told] == NULL || !copy_lines(header, data, at, next)) {
        return 0;
    }
    memcpy(header->end, told_lines[told], TOLD_LENGTH);
    header->end += TOLD_LENGTH;
    return 1;
}

static int is_whole(const char *start, size_t length)
{
    size_t end = sizeof(blank_line) - 1;

    return length >= end && memcmp(start + length - end, blank_line, end) == 0 && memchr(start, '\0', length) == NULL;
}

/* Ends with the lines that count. */
static int finish(struct counting *header, PyObject *data, const char *end)
{
    if (header->lines == NULL) {
        header->lines = Py_NewRef(data);
        return 1;
    }
    return copy_lines(header, data, end, end) &&
           _PyBytes_Resize(&header->lines, header->end - PyBytes_AS_STRING(header->lines)) == 0;
}

/* Finds what counts in a header; gives 0 for one that is incomplete or invalid, and -1 with an exception. */
static int count_lines(struct counting *header, PyObject *data)
{
    const char *at = PyBytes_AS_STRING(data), *end = at + PyBytes_GET_SIZE(data), *next;

    if (!is_whole(at, (size_t) (end - at))) {
        return 0;
    }
    header->rest = at;
    at = (const char *) memchr(at, '\n', (size_t) (end - at)) + 1; /* behind the status line */
    for (; at < end; at = next) {
        next = (const char *) memchr(at, '\n', (size_t) (end - at)) + 1;
        if (!take_line(header, data, at, next)) {
            forget(header);
            return -1;
        }
    }
    if (!finish(header, data, end)) {
        forget(header);
        return -1;
    }
    return 1;
}

static PyObject *value_or_none(PyObject *value)
{
    return value == NULL ? Py_None : value;
}

static PyObject *counting(PyObject *Py_UNUSED(module), PyObject *data)
{
    struct counting header = {NULL, NULL, NULL, {NULL, NULL}};
    PyObject *found;
    int is_valid = is_bytes(data) ? count_lines(&header, data) : -1;

    if (is_valid <= 0) {
        return none_if(is_valid == 0);
    }
    found = PyTuple_Pack(3, header.lines, value_or_none(header.told[LOGIN]), value_or_none(header.told[PASSWORD]));
    forget(&header);
    return found;
}

/* The known answer with the lines of a header, told its name and its password. */
static PyObject *find(PyObject *known, const struct counting *header, PyObject *tell)
{
    PyObject *answer = PyDict_GetItemWithError(known, header->lines);
    PyObject *login = header->told[LOGIN], *password = header->told[PASSWORD];

    if (answer == NULL) {
        return none_if(!PyErr_Occurred());
    }
    if (login == NULL && password == NULL) {
        return Py_NewRef(answer);
    }
    return PyObject_CallFunctionObjArgs(tell, answer, value_or_none(login), value_or_none(password), NULL);
}

PyObject *answer_recalled(PyObject *known, PyObject *data, PyObject *tell)
{
    struct counting header = {NULL, NULL, NULL, {NULL, NULL}};
    PyObject *answer;
    int is_valid;

    if (!PyDict_Check(known) || !PyBytes_Check(data)) {
        return PyErr_Format(PyExc_TypeError, "recalled(known, data, tell)");
    }
    is_valid = count_lines(&header, data);
    answer = is_valid > 0 ? find(known, &header, tell) : none_if(is_valid == 0);
    forget(&header);
    return answer;
}

static PyObject *recalled(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    return counted(given, 3) ? answer_recalled(arguments[0], arguments[1], arguments[2]) : NULL;
}

PyMethodDef answer_functions[] = {
    {"counting", counting, METH_O, "counting(data): what counts in a header; None for an incomplete or invalid one."},
    {"recalled", FAST(recalled), "recalled(known, data, tell): the known answer with the same headers that count."},
    {NULL, NULL, 0, NULL},
};
