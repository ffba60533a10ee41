/* A stream, and what it can be told to do; shared by _stream.c and stream_actions.c. */

struct stream {
    PyObject_HEAD
    double deadline;
    int descriptor;
    int watched; /* what the selector watches for; 0: it is not registered */
    PyObject *loop;
    PyObject *party;
    PyObject *tls;    /* None without TLS */
    PyObject *closed; /* NULL once it is closed or given away */
    PyObject *task;   /* who waits; NULL or None for nobody */
    unsigned long long received; /* bytes that were read, in TLS those of its data */
    unsigned long long sent;

    /* What is being done, until it is. */
    PySendResult (*action)(struct stream *self, PyObject **result);
    PyObject *outcome;    /* for the task that is being resumed */
    int flags;            /* of recv */
    Py_ssize_t limit;     /* bytes of one read */
    int events;           /* what is waited for, if that is all */
    int waited;           /* whether it has waited */
    PyObject *data;       /* what is written, and how much of it the system has taken */
    Py_ssize_t offset;
    PyObject *steps;      /* of an exchange, and the one at hand */
    Py_ssize_t step;
};

/* Methods of the type. */
PyObject *stream_wait(PyObject *object, PyObject *events);
PyObject *stream_read(PyObject *object, PyObject *limit);
PyObject *stream_peek(PyObject *object, PyObject *limit);
PyObject *stream_write(PyObject *object, PyObject *data);
PyObject *stream_exchange(PyObject *object, PyObject *const *arguments, Py_ssize_t given);

/* 0 with an exception. */
int prepare_actions(void);
