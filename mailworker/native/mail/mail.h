/* What sessions do in C: the question to the auth service, the relay, and what records note. */

#ifndef MAILWORKER_MAIL_H
#define MAILWORKER_MAIL_H

#include "core.h"

/* question.c */

int prepare_questions(void);
extern PyMethodDef question_functions[];

/* record.c, facts.c */

int prepare_records(void);
int prepare_facts(void);
extern PyMethodDef record_functions[];
extern PyMethodDef facts_functions[];

/* session_id.c */

extern PyTypeObject identifier_type;

#define SESSION_ID_LENGTH 16

/* The halves of a session's id, 48 bits each; the second is the process and the number of its connection. */
struct session_id {
    uint64_t time, origin;
};

/* See packed_id() in mail/session_id.py. */
static inline struct session_id session_id_of(double began, uint64_t process, double accepted, uint64_t number)
{
    struct session_id id = {(uint64_t) (int64_t) (began + accepted * 1000) & 0xFFFFFFFFFFFF,
                            (process & 0xFFFF) << 32 | (number & 0xFFFFFFFF)};

    return id;
}

int is_identifier(PyObject *object);

/* Writes the id of a session, as an Identifier gives it. */
int identify(PyObject *identifier, double accepted, PyObject *number, char *text);

/* session.c */

int prepare_session_relays(void);
extern PyMethodDef session_relay_functions[];

#endif
