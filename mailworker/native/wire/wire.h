/* Functions that read and write the words of protocols. */

#ifndef MAILWORKER_WIRE_H
#define MAILWORKER_WIRE_H

#include "python.h"

/* words.c, first_words.c, smtp_words.c */
extern PyMethodDef word_functions[];
extern PyMethodDef first_word_functions[];
extern PyMethodDef smtp_word_functions[];
int prepare_smtp_words(void);

/* answers.c */

PyObject *answer_recalled(PyObject *known, PyObject *data, PyObject *tell); /* recalled() of wire/auth_answers.py */
extern PyMethodDef answer_functions[];

#endif
