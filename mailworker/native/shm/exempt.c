/* The networks of clients whose attempts to log in are not counted; see shm/attempts.py, which puts them in order. */

#include "attempts.h"

#include <stdlib.h>

/* A network; its address begins with its size in bytes, 0 for that of unix sockets, which `bits` has as well. */
struct network {
    unsigned char address[1 + ADDRESS_SIZE], bits;
};

int take_exempt(PyObject *networks)
{
    Py_ssize_t i;

    if (!is_bytes(networks)) {
        return 0;
    }
    for (i = 0; i < PyBytes_GET_SIZE(networks); i += (Py_ssize_t) sizeof(struct network)) {
        const struct network *network = (const struct network *) (PyBytes_AS_STRING(networks) + i);

        if (PyBytes_GET_SIZE(networks) - i < (Py_ssize_t) sizeof(*network) || network->bits > 8 * (1 + ADDRESS_SIZE)) {
            return raised(PyExc_ValueError, "no networks");
        }
    }
    return 1;
}

/* How a host's address is ordered by a network, as by memcmp(): 0 where it is inside. */
static int by_prefix(const void *host, const void *other)
{
    const struct network *network = other;
    const unsigned char *address = host;
    size_t whole = network->bits / 8;
    int rest = network->bits % 8, order = memcmp(address, network->address, whole);

    return order != 0 || rest == 0 ? order : (address[whole] & 0xFF00 >> rest & 0xFF) - network->address[whole];
}

int is_exempt(PyObject *networks, const struct client *client)
{
    struct client host = *client;
    unsigned char address[1 + ADDRESS_SIZE];

    client_unmap(&host);
    address[0] = (unsigned char) host.size;
    memcpy(address + 1, host.address, ADDRESS_SIZE);
    return bsearch(address, PyBytes_AS_STRING(networks), (size_t) PyBytes_GET_SIZE(networks) / sizeof(struct network),
                   sizeof(struct network), by_prefix) != NULL;
}
