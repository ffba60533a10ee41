/* What C knows of a mailworker.native.core._timers.Timed: its deadline, and where it is filed. */

struct bucket;

struct timed {
    PyObject_HEAD
    double deadline;       /* seconds of the monotonic clock; infinity for none */
    struct bucket *bucket; /* NULL: it is filed nowhere */
    struct timed *next;    /* in that bucket */
    struct timed **link;   /* what points to this one there */
};
