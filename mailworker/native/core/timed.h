/* What the C part knows of a mailworker.native.core._timers.Timed: its deadline, and where it is filed. */

struct timed {
    PyObject_HEAD
    double deadline;       /* seconds of the monotonic clock; infinity for none */
    struct bucket *bucket; /* NULL: it is filed nowhere */
    struct timed *next;    /* in that bucket */
    struct timed **link;   /* what points to this one there */
};

struct bucket {
    double due;
    struct timed *first; /* the bucket owns a reference to each of its members */
};

/* For the module _timers; others import it. */
extern PyTypeObject timed_type;
