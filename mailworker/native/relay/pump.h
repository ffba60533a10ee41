/* The buffers by which relays move bytes; one pump serves all relays of a loop that have `limit` in common. */

#ifndef MAILWORKER_PUMP_H
#define MAILWORKER_PUMP_H

#include "sieve_line.h"
#include "transport.h"

enum relay_status {
    RELAY_MORE, /* the bound is reached; call again, as the source may hold more that no poller sees */
    RELAY_SOURCE_BLOCKED, /* all is passed on; wait for `want` on the source */
    RELAY_SINK_BLOCKED, /* the sink did not take all; wait for `want` on the sink */
    RELAY_END, /* all is passed on and the source has ended */
    RELAY_SOURCE_FAILED,
    RELAY_SINK_FAILED,
    RELAY_REFUSED /* the source has sent what must not be passed on */
};

struct pump {
    size_t limit; /* bytes that a side may keep: proxy_buffer */
    unsigned char *page; /* scratch; between two calls, only the untaken bytes in it matter */
    int pipe[2]; /* empty between two calls; -1 where there is none, or where it could not be emptied */
    int watching; /* whether it watches the bytes that it moves, by a line */
    int limiting; /* whether `most` is set before each call */
    size_t most; /* bytes that a call may move; it moves about BOUND at most */
    size_t offset; /* where in the page, or in the data given to `flush`, the untaken bytes start */
    size_t length; /* how many bytes the sink did not take */
    int held; /* whether a part of a segment may wait in the sink's socket for what comes next */
    size_t moved; /* how many bytes the sink took in this call */
    int want; /* READ or WRITE where something blocked */
    int error; /* errno where something failed; 0: OpenSSL's error queue tells */
};

/* 0: no memory. */
int pump_open(struct pump *pump, size_t limit, int watching, int limiting);
void pump_close(struct pump *pump);
/* `line` is read where the pump is watching. */
int pump_move(struct pump *pump, const struct channel *source, const struct channel *sink, struct line *line);
int pump_flush(struct pump *pump, const struct channel *sink, const void *data, size_t length);

#endif
