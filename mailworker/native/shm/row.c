/* A row of the session table: its checksum, and the values that are packed into it. */

#include "row.h"

#include <arpa/inet.h>
#include <string.h>

#define SEED 0x6D61696CU

struct row *row_begin(struct row *row)
{
    __atomic_store_n(&row->number, row->number | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return row;
}

typedef uint32_t four __attribute__((vector_size(16)));

/* The checksum of 30 words. */
static uint32_t sum_of(const struct row *row)
{
    const char *from = (const char *) &row->received;
    four next, sums = {SEED};
    uint32_t last[2];
    int i;

    for (i = 0; i < 7; i++) {
        memcpy(&next, from + i * sizeof(next), sizeof(next));
        sums += next;
    }
    memcpy(last, from + 7 * sizeof(next), sizeof(last));
    return sums[0] + sums[1] + sums[2] + sums[3] + last[0] + last[1];
}

void row_finish(struct row *row)
{
    row->sum = sum_of(row);
    __atomic_store_n(&row->number, (row->number | 1) + 1, __ATOMIC_RELEASE);
}

int take_seconds(PyObject *argument, uint32_t *seconds)
{
    double value;

    if (!take_real(argument, &value)) {
        return 0;
    }
    *seconds = (uint32_t) (int64_t) value;
    return 1;
}

int take_short(PyObject *argument, uint16_t *number)
{
    int value;

    if (!take_int(argument, &value)) {
        return 0;
    }
    *number = (uint16_t) value;
    return 1;
}

/* Packs an IP address; zeros for other texts. */
static int put_address(PyObject *text, unsigned char *address)
{
    char bare[INET6_ADDRSTRLEN];
    const char *host = PyUnicode_AsUTF8(text);
    size_t length;
    int fine;

    if (host == NULL) {
        return 0;
    }
    memcpy(address, mapped, sizeof(mapped));
    if (strchr(host, ':') != NULL) {
        length = strcspn(host, "%");
        length = length < sizeof(bare) ? length : sizeof(bare) - 1;
        memcpy(bare, host, length);
        bare[length] = '\0';
        fine = inet_pton(AF_INET6, bare, address);
    } else {
        fine = inet_pton(AF_INET, host, address + sizeof(mapped));
    }
    if (fine != 1) {
        memset(address, 0, ADDRESS_SIZE);
    }
    return 1;
}

int take_address(PyObject *argument, unsigned char *address, uint16_t *port)
{
    if (has_port(argument)) {
        return put_address(PyTuple_GET_ITEM(argument, 0), address) && take_short(PyTuple_GET_ITEM(argument, 1), port);
    }
    memset(address, 0, ADDRESS_SIZE);
    *port = 0;
    return 1;
}

/* Calls a function of shm/session_row.py, which knows what is kept of rare values. */
static PyObject *ask_layout(const char *function, PyObject *argument)
{
    PyObject *module = PyImport_ImportModule("mailworker.shm.session_row");
    PyObject *result = module == NULL ? NULL : PyObject_CallMethod(module, function, "O", argument);

    Py_XDECREF(module);
    return result;
}

int take_socket(PyObject *argument, unsigned char *kept)
{
    PyObject *bytes = ask_layout("keep_socket", argument);
    int fine = bytes != NULL && is_bytes(bytes) && PyBytes_GET_SIZE(bytes) == ADDRESS_SIZE;

    if (fine) {
        memcpy(kept, PyBytes_AS_STRING(bytes), ADDRESS_SIZE);
    }
    Py_XDECREF(bytes);
    return fine;
}

/* For a name that is long or has a separator, Python's keep() decides. */
static int take_unusual(PyObject *argument, struct name *name)
{
    char *bytes;
    Py_ssize_t length;

    name->kept = ask_layout("keep", argument);
    if (name->kept == NULL || !PyArg_ParseTuple(name->kept, "iy#", &name->full_length, &bytes, &length)) {
        Py_CLEAR(name->kept);
        return 0;
    }
    name->bytes = bytes;
    name->length = (size_t) (length < LONGEST_NAME ? length : LONGEST_NAME);
    return 1;
}

int take_name(PyObject *argument, struct name *name)
{
    char *bytes;
    Py_ssize_t length;

    name->kept = NULL;
    if (PyBytes_AsStringAndSize(argument, &bytes, &length) < 0) {
        return 0;
    }
    if (length > LONGEST_NAME || memchr(bytes, 0, (size_t) length) != NULL ||
        memchr(bytes, 1, (size_t) length) != NULL) {
        return take_unusual(argument, name);
    }
    name->bytes = bytes;
    name->length = (size_t) length;
    name->full_length = (int) length;
    return 1;
}

void put_name(struct row *row, struct name *name)
{
    memset(row->name, 0, sizeof(row->name));
    memcpy(row->name, name->bytes, name->length);
    row->length = (uint8_t) name->full_length;
    Py_CLEAR(name->kept);
}
