/*
 * What records note of logins, and the lines about it: methods for a class that Python defines, see mail/facts.py. Rare
 * events are left to methods in Python.
 */

#include "line.h"
#include "path.h"
#include "record.h"

/* Fields of records and of logins, and paths to what sessions have in common. */
#define FIELDS(FIELD)                                                                                                  \
    FIELD(attempts)                                                                                                    \
    FIELD(auth_ms)                                                                                                     \
    FIELD(auth_user)                                                                                                   \
    FIELD(event)                                                                                                       \
    FIELD(login_ms)                                                                                                    \
    FIELD(method)                                                                                                      \
    FIELD(port)                                                                                                        \
    FIELD(started)

#define WAYS(WAY)                                                                                                      \
    WAY(accepted_address, "address")                                                                                   \
    WAY(at_end, "entrance.server.access_logs.at_end")                                                                  \
    WAY(at_login, "entrance.server.access_logs.at_login")                                                              \
    WAY(choice, "entrance.server.backend")                                                                             \
    WAY(client_id, "client_id")                                                                                        \
    WAY(client_method, "method")                                                                                       \
    WAY(client_name, "name")                                                                                           \
    WAY(direct, "entrance.sessions.lines.direct")                                                                      \
    WAY(envelope, "envelope")                                                                                          \
    WAY(helo, "helo")                                                                                                  \
    WAY(is_accepted, "accepted")                                                                                       \
    WAY(lines, "entrance.sessions.lines")                                                                              \
    WAY(now, "entrance.sessions.loop.now")                                                                             \
    WAY(received, "client_bytes.received")                                                                             \
    WAY(since, "started")                                                                                              \
    WAY(who, "who")

#define WORDS(WORD)                                                                                                    \
    WORD(_come)                                                                                                        \
    WORD(_choose)                                                                                                      \
    WORD(_introduce)                                                                                                   \
    WORD(_is_logged)                                                                                                   \
    WORD(_keep_headers)                                                                                                \
    WORD(_keep_who)                                                                                                    \
    WORD(_misreport)                                                                                                   \
    WORD(_write_line)                                                                                                  \
    WORD(delay)                                                                                                        \
    WORD(end)                                                                                                          \
    WORD(login)

ATTRIBUTES;

int prepare_facts(void)
{
    return MAKE_ATTRIBUTES;
}

static PyObject *facts_begun(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *record = record_begun(self, arguments, given);

    if (record != NULL &&
        !(has_port(arguments[1]) ? step_set(record, &fields.port, PyTuple_GET_ITEM(arguments[1], 1))
                                 : done(PyObject_CallMethodOneArg(record, words._come, arguments[1])))) {
        Py_CLEAR(record);
    }
    return record;
}

/* Takes the number at the end of a path. */
static int take_number(struct path *path, PyObject *object, double *number)
{
    enum found found = path_number(path, object, number);

    if (found == NOTHING) {
        PyErr_SetString(PyExc_TypeError, "a number is wanted");
    }
    return found == REAL;
}

/* Truncated, as by Python's int(). */
static PyObject *in_milliseconds(double seconds)
{
    return PyLong_FromDouble(seconds * 1000 + 0.5);
}

/* The Direct of a destination, NULL where the sink itself has to write, if only now. */
static PyObject *direct_way(PyObject *self, PyObject *destination)
{
    PyObject *directs = path_follow(&ways.direct, self), *direct = NULL;
    Py_ssize_t index = PyLong_AsSsize_t(destination);

    if (directs != NULL && PyTuple_Check(directs) && index >= 0 && index < PyTuple_GET_SIZE(directs) &&
        is_direct(PyTuple_GET_ITEM(directs, index))) {
        direct = Py_NewRef(PyTuple_GET_ITEM(directs, index)); /* a source may be Python that gives the sink another */
    }
    Py_XDECREF(directs);
    return direct;
}

/* Writes a line directly; the sink gets what could not be written. */
static int write_directly(PyObject *self, PyObject *lines, PyObject *destination, PyObject *line, PyObject *direct)
{
    PyObject *rest, *error, *length;
    Py_ssize_t taken;
    int fine = line_write(line, self, direct, &rest, &taken, &error);

    if (!fine && rest != NULL) {
        length = PyLong_FromSsize_t(taken);
        if (length != NULL) {
            PyObject *arguments[] = {lines, destination, rest, length, error == NULL ? Py_None : error};

            fine = done(PyObject_VectorcallMethod(words.delay, arguments, 5, NULL));
            Py_DECREF(length);
        }
    }
    Py_XDECREF(rest);
    Py_XDECREF(error);
    return fine;
}

/* Writes one line: `log` is a ReadyLog; the method in Python takes any. */
static int write_line(PyObject *self, PyObject *lines, PyObject *log)
{
    int plain = PyTuple_GET_ITEM(log, 2) == Py_None && PyTuple_GET_ITEM(log, 3) == Py_None, fine;
    PyObject *destination = PyTuple_GET_ITEM(log, 0), *line = plain ? line_behind(PyTuple_GET_ITEM(log, 1)) : NULL;
    PyObject *direct = line == NULL ? NULL : direct_way(self, destination);
    PyObject *arguments[] = {self, log, lines};

    if (direct == NULL) {
        return PyErr_Occurred() == NULL && done(PyObject_VectorcallMethod(words._write_line, arguments, 3, NULL));
    }
    fine = write_directly(self, lines, destination, line, direct);
    Py_DECREF(direct);
    return fine;
}

static int write_lines(PyObject *self, PyObject *lines, PyObject *logs)
{
    Py_ssize_t i;

    for (i = 0; i < PyTuple_GET_SIZE(logs); i++) {
        PyObject *log = PyTuple_GET_ITEM(logs, i);

        if (!PyTuple_Check(log) || PyTuple_GET_SIZE(log) != 4) {
            return raised(PyExc_TypeError, "no log");
        }
        if (!write_line(self, lines, log)) {
            return 0;
        }
    }
    return 1;
}

/* Writes the lines about an event; an error while writing a line is logged. */
static int report_to(PyObject *self, PyObject *event, PyObject *logs)
{
    PyObject *lines = path_follow(&ways.lines, self);
    int fine = lines != NULL;

    if (fine && lines != Py_None) {
        fine = step_set(self, &fields.event, event) &&
               (write_lines(self, lines, logs) || record_pass_on(self, words._misreport));
    }
    Py_XDECREF(lines);
    return fine;
}

/* The same, for the logs at the end of a path, if there are any. */
static int report_at(PyObject *self, PyObject *event, struct path *path)
{
    PyObject *logs = path_follow(path, self);
    int fine = logs != NULL && (PyTuple_GET_SIZE(logs) == 0 || report_to(self, event, logs));

    Py_XDECREF(logs);
    return fine;
}

/* Whether the end of a session is logged: for sessions without a byte, the method in Python decides. */
static int is_logged(PyObject *self, PyObject *reason)
{
    int heard = path_has(&ways.received, self), logged;
    PyObject *answer;

    if (heard != 0) {
        return heard;
    }
    answer = PyObject_CallMethodOneArg(self, words._is_logged, reason);
    logged = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return logged;
}

static PyObject *facts_end(PyObject *self, PyObject *reason)
{
    int state = record_end(self, reason);

    if (state > 0) {
        state = is_logged(self, reason);
    }
    return none_if(state > 0 ? report_at(self, words.end, &ways.at_end) : state == 0);
}

static PyObject *attempt(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *login;
    int more, plain;

    if (!counted(given, 2)) {
        return NULL;
    }
    login = arguments[0];
    if (!step_set(self, &fields.attempts, arguments[1]) ||
        !step_give(self, &fields.auth_user, path_follow(&ways.client_name, login)) ||
        !step_give(self, &fields.method, path_follow(&ways.client_method, login))) {
        return NULL;
    }
    more = path_has(&ways.helo, login);
    more = more == 0 ? path_has(&ways.client_id, login) : more;
    plain = more == 0 ? path_lacks(&ways.envelope, login) : !more;
    if (more < 0 || plain < 0) {
        return NULL;
    }
    return none_if(plain || done(PyObject_CallMethodOneArg(self, words._introduce, login)));
}

/* Whether the configuration has to choose a backend for a verdict; -1 with an exception. */
static int is_to_choose(PyObject *self, PyObject *verdict)
{
    int nowhere = path_lacks(&ways.choice, self);

    return nowhere == 0 ? path_lacks(&ways.accepted_address, verdict) : nowhere < 0 ? -1 : 0;
}

static PyObject *settle(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *verdict, *headers, *chosen;
    double now, began;
    int accepted, choose;

    if (!counted(given, 3) || !take_number(&ways.now, self, &now) || !take_real(arguments[2], &began) ||
        !step_give(self, &fields.auth_ms, in_milliseconds(now - began))) {
        return NULL;
    }
    verdict = arguments[0];
    headers = arguments[1];
    if (headers != Py_None && !done(PyObject_CallMethodOneArg(self, words._keep_headers, headers))) {
        return NULL;
    }
    accepted = path_has(&ways.is_accepted, verdict);
    choose = accepted > 0 ? is_to_choose(self, verdict) : accepted;
    if (choose < 0) {
        return NULL;
    }
    if (!accepted) {
        return Py_NewRef(verdict);
    }
    chosen = choose ? PyObject_CallMethodOneArg(self, words._choose, verdict) : Py_NewRef(verdict);
    if (chosen != NULL && !step_give(self, &fields.started, PyFloat_FromDouble(now))) {
        Py_CLEAR(chosen);
    }
    return chosen;
}

static PyObject *log_in(PyObject *self, PyObject *Py_UNUSED(none))
{
    double now, started;
    int nobody;

    if (!take_number(&ways.since, self, &started) || !take_number(&ways.now, self, &now) ||
        !step_give(self, &fields.login_ms, in_milliseconds(now - started)) ||
        !report_at(self, words.login, &ways.at_login) || !step_set(self, &fields.started, Py_None)) {
        return NULL;
    }
    nobody = path_lacks(&ways.who, self);
    return nobody < 0 ? NULL : none_if(nobody || done(PyObject_CallMethodNoArgs(self, words._keep_who)));
}

static PyMethodDef facts_methods[] = {
    {"attempt", FAST(attempt), "attempt(login, number): an attempt to log in begins."},
    {"begun", FAST(facts_begun), "begun(number, peer, accepted, client_bytes): see SessionRecord."},
    {"end", facts_end, METH_O, "end(reason): see SessionRecord."},
    {"log_in", log_in, METH_NOARGS, "log_in(): the client is logged in at the backend."},
    {"settle", FAST(settle), "settle(verdict, headers, began): the attempt is decided."},
    {NULL, NULL, 0, NULL},
};

static PyObject *note_facts(PyObject *Py_UNUSED(module), PyObject *type)
{
    return none_if(take_over(type, facts_methods));
}

PyMethodDef facts_functions[] = {
    {"note_facts", note_facts, METH_O,
     "note_facts(type): make C implement frequent methods of a record class with facts."},
    {NULL, NULL, 0, NULL},
};
