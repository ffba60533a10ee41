/* Words of logins by SMTP: the response of PLAIN, in wire/sasl.py, and XCLIENT, in wire/xclient.py. */

#include "reply.h"
#include "words.h"

#define LONGEST_COMMAND 512 /* with its CRLF, see COMMAND_LIMIT */

static int value_of(char byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : 63;
}

/* Decodes base64 that is valid; gives the number of bytes. */
static Py_ssize_t decode(const char *text, Py_ssize_t length, char *bytes)
{
    Py_ssize_t i, made = 0;
    unsigned bits = 0;

    for (i = 0; i < length && text[i] != '='; i++) {
        bits = (bits << 6 | (unsigned) value_of(text[i])) & 0xffffff;
        if (i % 4 > 0) {
            bytes[made++] = (char) (bits >> (6 - 2 * (i % 4)));
        }
    }
    return made;
}

/* A tuple of the three parts between NULs, None for another number of parts or an empty second one. */
static PyObject *three_parts(const char *bytes, Py_ssize_t length)
{
    const char *first = memchr(bytes, '\0', (size_t) length), *end = bytes + length, *second;

    second = first == NULL ? NULL : memchr(first + 1, '\0', (size_t) (end - first - 1));
    if (second == NULL || second == first + 1 || memchr(second + 1, '\0', (size_t) (end - second - 1)) != NULL) {
        Py_RETURN_NONE;
    }
    return tuple_of(
        (struct word[]){{bytes, first - bytes}, {first + 1, second - first - 1}, {second + 1, end - second - 1}}, 3);
}

static PyObject *plain_words(PyObject *Py_UNUSED(module), PyObject *response)
{
    char bytes[LONGEST_COMMAND], *text;
    Py_ssize_t length;

    if (PyBytes_AsStringAndSize(response, &text, &length) < 0) {
        return NULL;
    }
    if (length > LONGEST_COMMAND || !is_base64(text, (size_t) length)) {
        Py_RETURN_NONE;
    }
    return three_parts(bytes, decode(text, length, bytes));
}

/* A command that is being written; `at` is NULL if it may not be sent, such as once it is too long. */
struct command {
    char bytes[LONGEST_COMMAND], *at;
};

static void put(struct command *command, const char *bytes, size_t length)
{
    if (command->at == NULL || length > (size_t) (command->bytes + LONGEST_COMMAND - command->at)) {
        command->at = NULL;
        return;
    }
    memcpy(command->at, bytes, length);
    command->at += length;
}

static int is_xchar(char byte)
{
    return byte >= '!' && byte <= '~' && byte != '+' && byte != '=';
}

/* RFC 3461 section 4. */
static void put_xtext(struct command *command, PyObject *value)
{
    const char *at = PyBytes_AS_STRING(value), *end = at + PyBytes_GET_SIZE(value), *plain;
    char encoded[4];

    while (at < end && command->at != NULL) {
        for (plain = at; at < end && is_xchar(*at); at++) {
        }
        put(command, plain, (size_t) (at - plain));
        if (at < end) {
            (void) PyOS_snprintf(encoded, sizeof(encoded), "+%02X", (unsigned) (unsigned char) *at++);
            put(command, encoded, 3);
        }
    }
}

/* The names of attributes, with their hashes: made once. */
static struct attributes {
    PyObject *address, *login, *name;
} attributes;

int prepare_smtp_words(void)
{
    attributes =
        (struct attributes){PyBytes_FromString("ADDR"), PyBytes_FromString("LOGIN"), PyBytes_FromString("NAME")};
    return attributes.address != NULL && attributes.login != NULL && attributes.name != NULL;
}

/* Begins an attribute if it is listed and has a value, of so many bytes; gives whether it does, or -1. */
static int put_key(struct command *command, PyObject *listed, PyObject *key, Py_ssize_t length)
{
    int is_listed = length == 0 ? 0 : PySet_Contains(listed, key);

    if (is_listed == 1) {
        put(command, " ", 1);
        put(command, PyBytes_AS_STRING(key), (size_t) PyBytes_GET_SIZE(key));
        put(command, "=", 1);
    }
    return is_listed;
}

/* See put_key(); `value` is None or bytes. */
static int put_attribute(struct command *command, PyObject *listed, PyObject *key, PyObject *value)
{
    int is_put = put_key(command, listed, key, value == Py_None ? 0 : PyBytes_GET_SIZE(value));

    if (is_put == 1) {
        put_xtext(command, value);
    }
    return is_put;
}

/* See put_key(), and smtp_address() in wire/identity.py. */
static int put_address(struct command *command, PyObject *listed, PyObject *address)
{
    Py_ssize_t length = 0;
    const char *host = "[UNAVAILABLE]";
    int is_put;

    if (has_port(address)) {
        host = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(address, 0), &length);
        if (host == NULL) {
            return -1;
        }
    } else {
        length = (Py_ssize_t) strlen(host);
    }
    is_put = put_key(command, listed, attributes.address, length);
    if (is_put == 1) {
        put(command, "IPV6:", memchr(host, ':', (size_t) length) == NULL ? 0 : 5);
        put(command, host, (size_t) length);
    }
    return is_put;
}

static PyObject *xclient_command(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    static const char verb[] = "XCLIENT", end[] = "\r\n";
    struct command command = {.at = command.bytes};
    int address, login, name;

    if (!counted(given, 4)) {
        return NULL;
    }
    if (!PyAnySet_Check(arguments[0]) || !PyBytes_Check(arguments[3]) ||
        !(arguments[2] == Py_None || PyBytes_Check(arguments[2]))) {
        return PyErr_Format(PyExc_TypeError, "xclient_command(listed, address, login, name)");
    }
    put(&command, verb, sizeof(verb) - 1);
    if (arguments[2] != Py_None &&
        memchr(PyBytes_AS_STRING(arguments[2]), '\0', (size_t) PyBytes_GET_SIZE(arguments[2])) != NULL) {
        command.at = NULL;
    }
    address = put_address(&command, arguments[0], arguments[1]);
    login = address < 0 ? -1 : put_attribute(&command, arguments[0], attributes.login, arguments[2]);
    name = login < 0 ? -1 : put_attribute(&command, arguments[0], attributes.name, arguments[3]);
    if (name < 0) {
        return NULL;
    }
    put(&command, end, sizeof(end) - 1);
    if (command.at == NULL) {
        Py_RETURN_NONE;
    }
    return PyBytes_FromStringAndSize(command.bytes, address || login || name ? command.at - command.bytes : 0);
}

PyMethodDef smtp_word_functions[] = {
    {"plain_words", plain_words, METH_O, "plain_words(response): its three fields; None where it is no usual one."},
    {"xclient_command", FAST(xclient_command),
     "xclient_command(listed, address, login, name): None if it may not be sent."},
    {NULL, NULL, 0, NULL},
};
