/* The module _core: the event core in C. event/ and other packages have its types and functions in Python, too. */

#include "core.h"
#include "line.h"
#include "mail.h"
#include "relay.h"
#include "shm.h"
#include "wire.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mailworker.native.core._core",
    .m_size = -1,
};

static int add_types(PyObject *module)
{
    PyTypeObject *types[] = {
        &timed_type,    &timers_type,      &loop_type,       &task_type,      &stream_type,        &line_type,
        &engine_type,   &pump_type,        &side_type,       &watched_type,   &session_tally_type, &limits_type,
        &rows_type,     &connections_type, &terms_type,      &pair_type,      &limited_type,       &guest_type,
        &lobby_type,    &conns_type,       &listed_type,     &direct_type,    &attempt_type,       &attempts_type,
        &holdings_type, &gate_type,        &identifier_type, &beginning_type,
#ifdef __linux__
        &epoll_type,
#endif
    };
    size_t i;

    task_type.tp_base = pair_type.tp_base = guest_type.tp_base = &timed_type;
    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (PyModule_AddType(module, types[i]) < 0) {
            return 0;
        }
    }
    return 1;
}

static int add_functions(PyObject *module)
{
    PyMethodDef *all[] = {
        answer_functions,        beginning_functions, client_functions,   copy_functions,   facts_functions,
        first_word_functions,    plan_functions,      question_functions, record_functions, smtp_word_functions,
        session_relay_functions, socket_functions,    tls_functions,      word_functions,
    };
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (PyModule_AddFunctions(module, all[i]) < 0) {
            return 0;
        }
    }
    return 1;
}

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = make_names() && prepare_loop() && prepare_plans() && prepare_sockets() && prepare_records() &&
                               prepare_facts() && prepare_tallies() && prepare_writing() && prepare_smtp_words() &&
                               prepare_beginnings() && prepare_session_relays() && prepare_questions()
                           ? PyModule_Create(&definition)
                           : NULL;

    if (module != NULL && !(add_types(module) && add_functions(module))) {
        Py_CLEAR(module);
    }
    return module;
}
