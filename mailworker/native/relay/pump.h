/*
 * What a relay knows of connections. cffi reads this text as well, so it holds declarations only. _relay.c belongs to
 * another module, which knows no OpenSSL: SSL is a name to it, and all that it calls stands in the pump.
 */

/* A step on a connection gives a number of bytes, 0 at the end of what the peer sends, -READ, -WRITE (events.h), or: */
enum io_result {
    IO_SYSTEM = -3, /* errno tells more */
    IO_TLS = -4 /* OpenSSL's error queue tells more */
};

enum relay_status {
    RELAY_MORE, /* the bound is reached; call again, the source may hold more that no selector sees */
    RELAY_SOURCE_BLOCKED, /* all is handed on; wait for `want` on the source */
    RELAY_SINK_BLOCKED, /* the sink did not take all; wait for `want` on the sink */
    RELAY_END, /* all is handed on and the source has ended */
    RELAY_SOURCE_FAILED,
    RELAY_SINK_FAILED
};

struct pump {
    int (*move)(struct pump *pump, int source_fd, SSL *source, int sink_fd, SSL *sink, size_t limit);
    int (*flush)(struct pump *pump, const void *data, size_t length, int sink_fd, SSL *sink);
    int (*has_pending)(const SSL *connection);
    int (*close_notify)(SSL *connection);
    void *loop; /* the worker's, an object of Python that outlives the pump; only sides look at it */
    size_t limit; /* bytes that a side may keep: proxy_buffer */
    unsigned char *page; /* scratch; holds nothing of worth between two calls but what is kept */
    int pipe[2]; /* empty between two calls; -1 where there is none */
    size_t offset; /* where in the page, or in the data given to `flush`, the untaken bytes start */
    size_t length; /* how many bytes the sink did not take */
    size_t moved; /* how many bytes the sink took in this call */
    int want; /* READ or WRITE where something blocked */
    int error; /* errno where something failed; 0: OpenSSL's error queue tells */
};
