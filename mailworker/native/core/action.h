/*
 * Actions: a method of a stream begins one and gives the stream itself, to be awaited. The stream then continues the
 * action after each wait.
 */

#ifndef MAILWORKER_ACTION_H
#define MAILWORKER_ACTION_H

#include "core.h"

/* Takes an action as far as it goes: PYGEN_NEXT where the stream waits, PYGEN_RETURN with the result. */
typedef PySendResult stream_action(struct stream *self, PyObject **result);

stream_action go_on_reading, go_on_writing, go_on_waiting, go_on_exchanging;

void begin_action(struct stream *self, stream_action *action);
int begin_reading(struct stream *self, PyObject *limit, stream_action *action);

/* Frees a bare TLS connection, as it has no other owner. */
void stream_forget_tls(struct stream *self);

/* Connects, if that was put off; 0 with an exception where the system refuses at once. */
int stream_reach(struct stream *self);

/* Yields to the task until the loop would wait again: writes one after the other wake a peer once, and not each. */
PySendResult stream_put_off(struct stream *self, PyObject **result);

#endif
