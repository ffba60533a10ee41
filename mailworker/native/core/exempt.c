/* The networks of clients whose attempts to log in are not counted. */

#include "attempts.h"

static unsigned char family_of(size_t size)
{
    return size == ADDRESS_SIZE;
}

static int take_network(struct exempt *exempt, PyObject *argument)
{
    struct network *network = &exempt->networks[exempt->count];
    const char *packed;
    Py_ssize_t size;
    int bits;

    if (!PyTuple_Check(argument)) {
        return raised(PyExc_TypeError, "a network is a tuple");
    }
    if (!PyArg_ParseTuple(argument, "y#i", &packed, &size, &bits)) {
        return 0;
    }
    if ((size != 0 && size != 4 && size != ADDRESS_SIZE) || bits < 0 || bits > 8 * size) {
        return raised(PyExc_ValueError, "no such network");
    }
    if (size == 0) {
        exempt->is_unix = 1;
        return 1;
    }
    network->family = family_of((size_t) size);
    network->bits = (unsigned char) bits;
    memcpy(network->address, packed, (size_t) size);
    exempt->count++;
    return 1;
}

static int compare(const void *one, const void *other)
{
    return memcmp(one, other, sizeof(struct network));
}

int exempt_take(struct exempt *exempt, PyObject *networks)
{
    Py_ssize_t i;
    size_t place;

    exempt->networks = PyMem_Calloc((size_t) PyTuple_GET_SIZE(networks) + 1, sizeof(struct network));
    if (exempt->networks == NULL) {
        return done(PyErr_NoMemory());
    }
    for (i = 0; i < PyTuple_GET_SIZE(networks); i++) {
        if (!take_network(exempt, PyTuple_GET_ITEM(networks, i))) {
            return 0;
        }
    }
    qsort(exempt->networks, exempt->count, sizeof(struct network), compare);
    for (place = 0; place < exempt->count; place++) {
        const struct network *network = &exempt->networks[place];
        unsigned char *bits = exempt->bits[network->family];
        size_t *used = &exempt->used[network->family];

        if (*used == 0 || bits[*used - 1] != network->bits) {
            bits[(*used)++] = network->bits;
        }
    }
    return 1;
}

int is_exempt(const struct exempt *exempt, const struct client *client)
{
    struct client whole = *client;
    struct network wanted;
    size_t i;

    if (client->is_unix) {
        return exempt->is_unix;
    }
    client_unmap(&whole);
    wanted.family = family_of(whole.size);
    for (i = 0; i < exempt->used[wanted.family]; i++) {
        struct client cut = whole;
        const int lengths[2] = {exempt->bits[wanted.family][i], exempt->bits[wanted.family][i]};

        (void) client_cut(&cut, lengths);
        wanted.bits = exempt->bits[wanted.family][i];
        memset(wanted.address, 0, ADDRESS_SIZE);
        memcpy(wanted.address, cut.address, cut.size);
        if (bsearch(&wanted, exempt->networks, exempt->count, sizeof(struct network), compare) != NULL) {
            return 1;
        }
    }
    return 0;
}
