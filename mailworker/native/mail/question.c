/* The usual question to an auth service: methods for a class of Python, see mail/authentication/auth_http.py. */

#include "core.h"
#include "mail.h"
#include "path.h"
#include "wire.h"

#define FIELDS(FIELD)                                                                                                  \
    FIELD(_stream)                                                                                                     \
    FIELD(applicant)                                                                                                   \
    FIELD(plain)

#define WAYS(WAY)                                                                                                      \
    WAY(accepted, "accepted")                                                                                          \
    WAY(address, "_address")                                                                                           \
    WAY(applicant, "applicant")                                                                                        \
    WAY(connections, "applicant.connections")                                                                          \
    WAY(keeps, "_keeps")                                                                                               \
    WAY(known, "_known")                                                                                               \
    WAY(of_question, "_stream")                                                                                        \
    WAY(pattern, "_question")                                                                                          \
    WAY(plain_text, "_plain_text")                                                                                     \
    WAY(tell, "_tell")                                                                                                 \
    WAY(timeout, "_timeout")                                                                                           \
    WAY(verdict, "verdict")                                                                                            \
    WAY(wait, "_wait")

#define WORDS(WORD)                                                                                                    \
    WORD(_decide)                                                                                                      \
    WORD(_follow)                                                                                                      \
    WORD(_heard)                                                                                                       \
    WORD(_lost)                                                                                                        \
    WORD(_read)                                                                                                        \
    WORD(_say_again)                                                                                                   \
    WORD(connect)                                                                                                      \
    WORD(judged)

ATTRIBUTES;

/* What each question has in common, see note_questions(). */
static struct {
    PyObject *party;
    PyObject *limit;
    PyObject *unknown;
    Py_ssize_t segment;
} common;

int prepare_questions(void)
{
    return MAKE_ATTRIBUTES;
}

/* The plan that sends the request and awaits the answer. */
static PyObject *plan(PyObject *self, PyObject *head)
{
    PyObject *stream = path_follow(&ways.of_question, self), *heard = NULL, *lost = NULL, *step = NULL, *steps = NULL;
    PyObject *made = NULL;

    if (stream != NULL && (heard = PyObject_GetAttr(self, words._heard)) != NULL &&
        (lost = PyObject_GetAttr(self, words._lost)) != NULL &&
        (step = PyTuple_Pack(2, head, common.unknown)) != NULL && (steps = PyTuple_Pack(1, step)) != NULL) {
        PyObject *parts[] = {stream, common.limit, steps, heard, lost};

        if (PyBytes_Check(head) && PyBytes_GET_SIZE(head) > common.segment &&
            PyObject_TypeCheck(stream, &stream_type)) {
            no_delay(((struct stream *) stream)->descriptor);
        }
        made = plan_of(parts);
    }
    Py_XDECREF(stream);
    Py_XDECREF(heard);
    Py_XDECREF(lost);
    Py_XDECREF(step);
    Py_XDECREF(steps);
    return made;
}

/* Connects to the service; gives 0 with an exception. */
static int connect_anew(PyObject *self)
{
    PyObject *connections = path_follow(&ways.connections, self), *address = path_follow(&ways.address, self);
    PyObject *timeout = path_follow(&ways.timeout, self), *stream = NULL;

    if (connections != NULL && address != NULL && timeout != NULL) {
        PyObject *arguments[] = {connections, address, common.party, timeout};

        stream = PyObject_VectorcallMethod(words.connect, arguments, 4, NULL);
    }
    Py_XDECREF(connections);
    Py_XDECREF(address);
    Py_XDECREF(timeout);
    return step_give(self, &fields._stream, stream);
}

static PyObject *say_anew(PyObject *self, PyObject *head)
{
    return connect_anew(self) ? plan(self, head) : NULL;
}

static PyObject *say(PyObject *self, PyObject *head)
{
    int keeps = path_has(&ways.keeps, self);

    return keeps < 0 ? NULL : keeps ? PyObject_CallMethodOneArg(self, words._say_again, head) : say_anew(self, head);
}

/* AuthHttp.judge_plainly(applicant). */
static PyObject *judge_plainly(PyObject *self, PyObject *applicant)
{
    PyObject *pattern = path_follow(&ways.pattern, self);
    PyObject *write = pattern == NULL ? NULL : path_follow(&ways.plain_text, self);
    PyObject *question = write == NULL ? NULL : copied(NULL, pattern), *head = NULL, *link = NULL;

    if (question != NULL && step_set(question, &fields.applicant, applicant) &&
        step_set(question, &fields.plain, applicant)) {
        head = PyObject_CallOneArg(write, applicant);
    }
    if (head != NULL) {
        link = say(question, head);
    }
    Py_XDECREF(pattern);
    Py_XDECREF(write);
    Py_XDECREF(question);
    Py_XDECREF(head);
    return link;
}

static PyObject *settle(PyObject *self, PyObject *verdict)
{
    PyObject *stream = path_follow(&ways.of_question, self), *wait = path_follow(&ways.wait, self), *applicant, *link;
    int accepted = -1;

    if (stream != NULL && wait != NULL && done(PyObject_CallMethodNoArgs(stream, names.close))) {
        accepted = path_has(&ways.accepted, verdict);
        accepted = accepted > 0 ? wait == Py_None : accepted;
    }
    Py_XDECREF(stream);
    Py_XDECREF(wait);
    if (accepted <= 0) {
        return accepted < 0 ? NULL : PyObject_CallMethodOneArg(self, words._decide, verdict);
    }
    applicant = path_follow(&ways.applicant, self);
    link = applicant == NULL ? NULL : PyObject_CallMethodOneArg(applicant, words.judged, verdict);
    Py_XDECREF(applicant);
    return link;
}

/* Goes on after an answer that has come before. */
static PyObject *follow(PyObject *self, PyObject *answer)
{
    PyObject *verdict, *link;
    int keeps = path_has(&ways.keeps, self);

    if (keeps != 0) {
        return keeps < 0 ? NULL : PyObject_CallMethodOneArg(self, words._follow, answer);
    }
    verdict = path_follow(&ways.verdict, answer);
    link = verdict == NULL ? NULL : settle(self, verdict);
    Py_XDECREF(verdict);
    return link;
}

static PyObject *heard(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *known, *tell, *answer, *link;

    if (!counted(given, 2)) {
        return NULL;
    }
    known = path_follow(&ways.known, self);
    tell = known == NULL ? NULL : path_follow(&ways.tell, self);
    answer = tell == NULL ? NULL : answer_recalled(known, arguments[1], tell);
    Py_XDECREF(known);
    Py_XDECREF(tell);
    if (answer == NULL) {
        return NULL;
    }
    link = answer == Py_None ? PyObject_CallMethodOneArg(self, words._read, arguments[1]) : follow(self, answer);
    Py_DECREF(answer);
    return link;
}

static PyMethodDef question_methods[] = {
    {"say", say, METH_O, "say(head): ask by this request."},
    {"_say_anew", say_anew, METH_O, "_say_anew(head): the same, on a new connection."},
    {"_plan", plan, METH_O, "_plan(head): send the request, and await the answer."},
    {"_heard", FAST(heard), "_heard(usual, data): go on after the answer."},
    {"_settle", settle, METH_O, "_settle(verdict): go on after a verdict."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef service_methods[] = {
    {"judge_plainly", judge_plainly, METH_O, "judge_plainly(applicant): ask about it."},
    {NULL, NULL, 0, NULL},
};

static PyObject *note_questions(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t given)
{
    if (!counted(given, 6)) {
        return NULL;
    }
    Py_XSETREF(common.party, Py_NewRef(arguments[2]));
    Py_XSETREF(common.limit, Py_NewRef(arguments[3]));
    Py_XSETREF(common.unknown, Py_NewRef(arguments[4]));
    common.segment = PyLong_AsSsize_t(arguments[5]);
    return none_if(!PyErr_Occurred() && take_over(arguments[0], service_methods) &&
                   take_over(arguments[1], question_methods));
}

PyMethodDef question_functions[] = {
    {"note_questions", FAST(note_questions),
     "note_questions(service, question, party, limit, unknown, segment): make C implement frequent methods of both."},
    {NULL, NULL, 0, NULL},
};
