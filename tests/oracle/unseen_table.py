"""Where mailworker differs from nginx on purpose, and no dialogue shows it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.oracle.difference import Unseen

UNSEEN: Mapping[str, Unseen] = {
    "pop3-login-at-once": Unseen(
        "sends USER and PASS to every POP3 backend, and waits for the reply to each of them",
        "asks a backend that repeats its greeting by CAPA, once, and sends AUTH PLAIN in one line if PLAIN is listed",
        "RFC 2449, 6.3: such a server takes a response in the line of AUTH; it saves a round trip",
        "tests/mail/backend/test_pop3_foreseen.py::test_a_backend_that_repeats_its_greeting_is_asked_once",
    ),
    "one-challenge": Unseen(
        "uses one challenge, with 31 random bits, for all CRAM-MD5 exchanges of a session",
        "makes a new one of 64 random bits for each",
        "RFC 2195, 2: an answer that was overheard must be worth nothing",
        "tests/mail/dialogue/test_sasl.py::test_no_challenge_is_given_twice",
    ),
    "partial-write": Unseen(
        "takes it for an error when the system does not accept the whole of a command to the backend at once",
        "sends the rest when it can",
        "a long login or password is not the backend's fault",
        "tests/event/test_stream.py::test_a_slow_reader_gets_everything",
    ),
    "max-commands": Unseen(
        "obeys any number of commands within `timeout`",
        "refuses the one behind `max_commands` (1000), and closes",
        "freenginx's limit; no client needs so many before its login",
        "tests/mail/dialogue/test_sasl.py::test_max_commands_counts_commands_and_responses",
    ),
    "longest-wait": Unseen(
        "holds a client for as long as Auth-Wait says, nine digits of seconds and more",
        "holds it for an hour at most",
        "a slip of the auth service must not cost connections for years",
        "tests/wire/test_auth_response.py::test_a_response_has_its_verdict_in_every_chunking",
    ),
    "late-end": Unseen(
        "notices only when `timeout` is over that a client has left, if the end came together with its last bytes",
        "notices at once",
        "connections are limited",
        "tests/mail/test_leaving.py::test_leaving_at_any_byte_of_a_login",
    ),
    "leaving-early": Unseen(
        "notices only after Auth-Wait, or after the login, that the client has left",
        "lets it go at once during Auth-Wait",
        "connections are limited",
        "tests/mail/test_leaving.py::test_who_leaves_during_auth_wait_is_let_go_at_once",
    ),
    "xclient-at-once": Unseen(
        "asks each SMTP backend by EHLO whether it supports XCLIENT",
        "sends XCLIENT right after the greeting of a backend that has repeated greeting and reply to EHLO, and asks it "
        "every five minutes, or after a refusal",
        "Postfix, XCLIENT_README: XCLIENT may be sent at any time outside of a mail transaction; it saves a round trip",
        "tests/mail/backend/test_smtp_at_once.py::test_a_backend_that_repeats_itself_gets_xclient_at_once",
    ),
    "proxy-timeout": Unseen(
        "does not count what the backend sends as activity (`proxy_timeout`)",
        "counts what either side sends",
        "a client that waits for new mail is not idle while it comes",
        "tests/mail/test_relay.py::test_either_side_keeps_a_relay_alive",
    ),
    "header-in-pieces": Unseen(
        "refuses a PROXY header that does not come in one packet",
        "waits for the rest, up to `timeout`",
        "TCP may cut it anywhere",
        "tests/mail/client/test_address.py::test_a_header_is_read_in_any_pieces_and_not_a_byte_more",
    ),
    "linked-pid-file": Unseen(
        "writes through a symbolic link at the path of its pid file, and empties the link's target",
        "replaces the link",
        "whoever can write to the folder must not choose what root overwrites",
        "tests/process/system/test_pid_file.py::test_a_link_is_replaced_and_its_target_untouched",
    ),
    "linked-log": Unseen(
        "opens a log through a symbolic link, whoever made it",
        "refuses one that another user has made",
        "CVE-2016-1247: a worker's user must not choose what root opens and gives away",
        "tests/log/test_sinks.py::test_a_link_that_another_user_planted_is_refused",
    ),
    "readable-key": Unseen(
        "says nothing of a file of keys or passwords that others can read, of a certificate that has expired, nor of "
        "`ssl_verify_client on` where clients may log in without TLS",
        "warns of them with `-t`",
        "the administrator should hear it before the clients do",
        "tests/process/test_command_line.py::test_doubts_about_a_certificate_are_told_and_do_not_fail_the_test",
    ),
    "stale-socket": Unseen(
        "does not start where a unix socket is left of a process that was killed",
        "removes a socket that nobody listens on",
        "a restart should work after whatever happened before",
        "tests/process/test_listeners.py::test_a_unix_socket_in_use_is_left_alone",
    ),
    "named-backend": Unseen(
        "takes a host's name in Auth-Server for an invalid address",
        "looks it up where the server has a `resolver`, and tries its addresses in turn",
        "backends move, and a certificate is for a name",
        "tests/mail/test_targets.py::test_a_named_backend_is_looked_up",
    ),
    "encrypted-backend": Unseen(
        "speaks to backends in clear",
        "does so over TLS with `proxy_ssl`",
        "passwords cross networks that others use",
        "tests/mail/backend/test_tls.py::test_the_login_and_all_that_follows_are_encrypted",
    ),
    "shared-address": Unseen(
        'says `duplicate "ADDRESS" address and port pair` where two servers listen on one address, and takes one word '
        "for `server_name`",
        "tells such servers apart by the name that a client asks for in its TLS handshake, as nginx does for HTTP",
        "one address serves all domains, each with its own certificate",
        "tests/process/tls/test_names.py::test_the_name_chooses_certificate_greeting_and_backend",
    ),
    "name-asked-for": Unseen(
        "tells the auth service nothing of the name that a client asks for in its TLS handshake",
        "sends it as `Auth-SSL-Server-Name`",
        "one service decides for the domains of several customers",
        "tests/process/tls/test_names.py::test_the_name_chooses_certificate_greeting_and_backend",
    ),
    "number-too-large": Unseen(
        "takes any number of 63 bits, and gives a system call the low 32 of them (`backlog`, `rcvbuf`, `so_keepalive`,"
        " `ssl_verify_depth`); starts 1024 of more `worker_processes`; has no memory for sessions with larger buffers",
        "says what the number may be, with file and line",
        "`backlog=4294967297` would be a backlog of 1",
        "tests/process/test_numbers.py::test_a_number_too_large_is_told_with_its_place",
    ),
    "unix-name-server": Unseen(
        "takes `unix:PATH` for a name server in `resolver`",
        "says `invalid host in resolver`",
        "no answer could come: the asking socket has no address",
        "tests/oracle/test_config.py::test_mailworker_and_nginx_agree",
    ),
    "engine-on-demand": Unseen(
        "refuses an `ssl_engine` that OpenSSL does not have, and lets the others do all that they can",
        "takes every name, and loads an engine for `ssl_certificate_key engine:NAME:ID` alone",
        "OpenSSL 3 has providers instead, which need no directive",
        "tests/oracle/test_config.py::test_mailworker_and_nginx_agree",
    ),
    "mail-alone": Unseen(
        "serves `http` and `stream` beside `mail`",
        "says that it serves `mail` alone, and how to split the file",
        "a mail proxy; whoever moves to it should not lose web sites in silence",
        "tests/config/test_blocks.py::test_http_and_stream_are_left_to_nginx",
    ),
    "endless-include": Unseen(
        "crashes on a file that includes itself",
        "says `Too many open files` where 64 are nested",
        "`-t` is there to tell",
        "tests/config/test_tree.py::test_a_file_that_includes_itself_runs_out_of_files",
    ),
}
"""What parties cannot show each other, or not twice."""
