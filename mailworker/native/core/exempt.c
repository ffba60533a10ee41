/* The networks of clients whose attempts to log in are not counted. */

#include "attempts.h"

#include <stdlib.h>

/* How a host's address is ordered by a network, as by memcmp(): 0 where it is inside. */
static int by_prefix(const void *host, const void *other)
{
    const struct network *network = other;
    const unsigned char *address = ((const struct network *) host)->address;
    size_t whole = network->bits / 8;
    int rest = network->bits % 8, order = memcmp(address, network->address, whole);

    return order != 0 || rest == 0 ? order : (address[whole] & 0xFF00 >> rest & 0xFF) - network->address[whole];
}

/* A network is ordered before those inside it. */
static int by_address(const void *one, const void *other)
{
    return memcmp(one, other, sizeof(struct network));
}

static struct network network_of(const void *address, size_t size, int bits)
{
    struct network network = {.address = {(unsigned char) size}, .bits = (unsigned char) (8 + bits)};

    memcpy(network.address + 1, address, size);
    return network;
}

static int take_network(struct network *network, PyObject *argument)
{
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
    *network = network_of(packed, (size_t) size, bits);
    return 1;
}

int exempt_take(struct exempt *exempt, PyObject *networks)
{
    Py_ssize_t i, count = PyTuple_GET_SIZE(networks);
    struct network *all = exempt->networks = PyMem_Calloc((size_t) count + 1, sizeof(*all));

    if (all == NULL) {
        return done(PyErr_NoMemory());
    }
    for (i = 0; i < count; i++) {
        if (!take_network(&all[i], PyTuple_GET_ITEM(networks, i))) {
            return 0;
        }
    }
    qsort(all, (size_t) count, sizeof(*all), by_address);
    for (i = 0; i < count; i++) {
        if (exempt->count == 0 || by_prefix(&all[i], &all[exempt->count - 1]) != 0) {
            all[exempt->count++] = all[i];
        }
    }
    return 1;
}

int is_exempt(const struct exempt *exempt, const struct client *client)
{
    struct client host = *client;
    struct network wanted;

    client_unmap(&host);
    wanted = network_of(host.address, host.size, 0);
    return bsearch(&wanted, exempt->networks, exempt->count, sizeof(wanted), by_prefix) != NULL;
}
