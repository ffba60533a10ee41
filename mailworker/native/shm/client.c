/* Keys by which clients are counted; see client.h. */

#include "client.h"

#include <arpa/inet.h>

#define IPV4_SIZE 4

const unsigned char mapped[MAPPED_SIZE] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

int client_read(PyObject *text, struct client *client)
{
    Py_ssize_t length;

    client->text = PyUnicode_AsUTF8AndSize(text, &length);
    if (client->text == NULL) {
        return 0;
    }
    client->length = (size_t) length;
    memset(client->address, 0, sizeof(client->address));
    client->is_unix = strcmp(client->text, "unix:") == 0;
    client->size = client->is_unix ? 0 : strchr(client->text, ':') != NULL ? ADDRESS_SIZE : IPV4_SIZE;
    if (client->size == 0 ||
        inet_pton(client->size == IPV4_SIZE ? AF_INET : AF_INET6, client->text, client->address) == 1) {
        return 1;
    }
    return raised(PyExc_OSError, "illegal IP address string");
}

void client_unmap(struct client *client)
{
    if (client->size == ADDRESS_SIZE && memcmp(client->address, mapped, MAPPED_SIZE) == 0) {
        memmove(client->address, client->address + MAPPED_SIZE, IPV4_SIZE);
        client->size = IPV4_SIZE;
    }
}

size_t client_cut(struct client *client, const int lengths[2])
{
    size_t bits, whole;

    client_unmap(client);
    bits = (size_t) lengths[client->size == ADDRESS_SIZE];
    whole = bits / 8;
    if (whole >= client->size) {
        return client->size;
    }
    client->address[whole] &= (unsigned char) (0xFF00 >> bits % 8);
    memset(client->address + whole + 1, 0, client->size - whole - 1);
    return whole + (bits % 8 != 0);
}

static PyObject *general_user_key; /* user_key() of shm/keys.py */

static PyObject *use_user_key(PyObject *Py_UNUSED(module), PyObject *function)
{
    Py_XSETREF(general_user_key, Py_NewRef(function));
    Py_RETURN_NONE;
}

PyObject *user_key(PyObject *login)
{
    const char *at = PyBytes_AS_STRING(login), *end = at + PyBytes_GET_SIZE(login);
    PyObject *key;

    while (at < end && *at > ' ' && *at < 0x7f && !(*at >= 'A' && *at <= 'Z')) {
        at++;
    }
    if (at == end || general_user_key == NULL) {
        return Py_NewRef(login);
    }
    key = PyObject_CallOneArg(general_user_key, login);
    if (key != NULL && !is_bytes(key)) {
        Py_CLEAR(key);
    }
    return key;
}

struct key client_key(const struct client *client, int number, PyObject *user, const int lengths[2],
                      unsigned char *room)
{
    struct client copy;

    if (number == KEY_USER) {
        return (struct key){PyBytes_AS_STRING(user), (size_t) PyBytes_GET_SIZE(user)};
    }
    if (client->is_unix || (number == KEY_TEXT && client->size == IPV4_SIZE)) {
        return (struct key){client->text, client->length};
    }
    copy = *client;
    if (number == KEY_PREFIX) {
        copy.size = client_cut(&copy, lengths);
    } else {
        client_unmap(&copy);
    }
    if (number == KEY_TEXT) {
        return copy.size == IPV4_SIZE && inet_ntop(AF_INET, copy.address, (char *) room, INET_ADDRSTRLEN) != NULL
                   ? (struct key){room, strlen((char *) room)}
                   : (struct key){client->text, client->length};
    }
    memcpy(room, copy.address, sizeof(copy.address));
    return (struct key){room, copy.size};
}

int take_given(PyObject *given, Py_ssize_t *next, struct key *key)
{
    PyObject *bytes = given != NULL && *next < PyTuple_GET_SIZE(given) ? PyTuple_GET_ITEM(given, *next) : NULL;

    ++*next;
    *key = (struct key){"", 0};
    if (bytes != NULL) {
        if (!is_bytes(bytes)) {
            return 0;
        }
        *key = (struct key){PyBytes_AS_STRING(bytes), (size_t) PyBytes_GET_SIZE(bytes)};
    }
    return 1;
}

int take_lengths(PyObject *argument, int lengths[2])
{
    if (!PyArg_ParseTuple(argument, "ii", &lengths[0], &lengths[1])) {
        return 0;
    }
    if (lengths[0] < 0 || lengths[0] > 8 * IPV4_SIZE || lengths[1] < 0 || lengths[1] > 8 * ADDRESS_SIZE) {
        return raised(PyExc_ValueError, "no such prefix");
    }
    return 1;
}

PyMethodDef client_functions[] = {
    {"use_user_key", use_user_key, METH_O,
     "use_user_key(function): set the function for names that are not visible ASCII in lower case."},
    {NULL, NULL, 0, NULL},
};
