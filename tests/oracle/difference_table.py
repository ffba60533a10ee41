"""Where mailworker differs from nginx on purpose."""

from __future__ import annotations

from collections.abc import Mapping

from tests.oracle.difference import Entry, Unseen, Why

_LOG = ("log",)

TABLE: Mapping[str, Entry] = {
    "external-disabled": Entry(
        Why.SAFER,
        "takes `AUTH EXTERNAL` with an initial response though `external` is not enabled",
        "refuses it as it does without an initial response",
        "anybody could claim any name before an auth service that trusts Auth-Method: external",
    ),
    "stale-password": Entry(
        Why.SAFER,
        "sends the password of an earlier, failed attempt in Auth-Pass of EXTERNAL",
        "sends an empty Auth-Pass",
        "a secret goes where it does not belong, and may be taken for a valid one",
    ),
    "plain-rfc4616": Entry(
        Why.SAFER,
        "takes an empty user name, or NUL in the password, in AUTH PLAIN",
        "refuses both",
        "RFC 4616 allows neither; NUL ends strings in many backends",
    ),
    "command-injection": Entry(
        Why.SAFER,
        "passes CR LF in a login or password on to a POP3 backend, which reads commands behind it",
        "answers `-ERR invalid command`; neither goes to the backend",
        "any user could send commands to the backend, unseen by the auth service",
    ),
    "nul-in-login": Entry(
        Why.SAFER,
        "passes NUL in a login or password on to the backend",
        "answers that the command is invalid",
        "RFC 9051 and RFC 1939 have no NUL in strings; what a backend sees may be another name",
    ),
    "control-bytes-in-smtp": Entry(
        Why.SAFER,
        "passes NUL and other control bytes in HELO, EHLO, MAIL and RCPT on to the auth service and the backend",
        "answers `501 5.5.4 Invalid argument`",
        "RFC 5321 has none; NUL would cut a header of the auth request short, others end up on terminals and in logs",
    ),
    "envelope-in-clear": Entry(
        Why.SAFER,
        "takes MAIL and RCPT in clear with `starttls only` and `smtp_auth none`, and relays",
        "answers `530 5.7.1 Authentication required` before TLS",
        "`only` means that nothing is done in clear",
    ),
    "verdict-fails-closed": Entry(
        Why.SAFER,
        "lets the client in after a status other than 2xx, without a status line, without Auth-Status, "
        "and in SMTP with an empty one",
        "answers with an internal error, and names the auth service in the log",
        "a broken auth service must not open the door",
    ),
    "code-of-success": Entry(
        Why.SAFER,
        "sends any Auth-Error-Code, even `235`, to a client that is refused",
        "sends `535 5.7.0` unless the code is 4xx or 5xx",
        "the client would believe that it is logged in",
    ),
    "nul-from-service": Entry(
        Why.SAFER,
        "passes NUL in Auth-User and Auth-Pass on to the backend",
        "answers with an internal error",
        "as for NUL in a login",
    ),
    "control-bytes-from-backend": Entry(
        Why.SAFER,
        "passes a backend's refusal on with the control bytes in it (`proxy_pass_error_message on`)",
        "answers with an internal error instead",
        "the text ends up on terminals and in logs",
    ),
    "control-bytes-in-refusal": Entry(
        Why.SAFER,
        "sends control bytes in Auth-Status to the client",
        "sends spaces instead",
        "the text ends up on terminals and in logs",
    ),
    "quote-leaks": Entry(
        Why.SOUNDER,
        "remembers a quoted string that does not end, so that the next command is misread",
        "begins every command anew",
        "one wrong command must not break the ones behind it",
    ),
    "empty-tag": Entry(
        Why.SOUNDER,
        "obeys an IMAP command that begins with a space instead of a tag",
        "answers ` BAD invalid command`",
        "RFC 9051, 2.2.1: every command has a tag",
    ),
    "empty-literal": Entry(
        Why.SOUNDER,
        "takes the byte behind `{0}` as the literal, so an empty password becomes CR",
        "reads an empty string",
        "RFC 9051, 4.3",
    ),
    "del-in-login": Entry(
        Why.SOUNDER,
        "sends DEL in Auth-User and Auth-Pass as it is",
        "sends `%7F`",
        "no HTTP header may hold it: strict services refuse the whole request (RFC 9110, 5.5)",
    ),
    "too-large-literal": Entry(
        Why.SOUNDER,
        "asks with `+ OK` for a literal that does not fit `imap_client_buffer`, and gives up when the buffer is full",
        "answers `BAD` at once; the session goes on",
        "the client learns it before it sends",
    ),
    "untagged-refusal": Entry(
        Why.SOUNDER,
        "refuses a bad user name in AUTHENTICATE LOGIN with the tag `*`",
        "refuses it with the command's tag",
        "RFC 9051, 7.1: the client waits for its tag",
    ),
    "stale-tag": Entry(
        Why.SOUNDER,
        "answers a line with a bad tag after a failed login with that line's first bytes",
        "answers with `*`",
        "what the client sent must not be reflected",
    ),
    "response-buffer": Entry(
        Why.SOUNDER,
        "lets AUTHENTICATE and all its responses share one `imap_client_buffer`",
        "gives each line the whole buffer",
        "long tokens are refused for no reason",
    ),
    "pop3-buffer": Entry(
        Why.SOUNDER,
        "has a fixed buffer of 128 bytes for POP3 commands",
        "has one page",
        "RFC 2449 allows commands of 255 octets, RFC 5034 AUTH of 12288; long passwords exist",
    ),
    "pipelining": Entry(
        Why.SOUNDER,
        "takes pipelined commands that add up to more than its buffer for one command that is too long",
        "needs room for one command only",
        "RFC 2449, 6.8 and RFC 2920 set no such limit",
    ),
    "refused-mail": Entry(
        Why.SOUNDER,
        "destroys the commands pipelined behind a MAIL that it refuses, depending on the log's level",
        "answers them all",
        "RFC 2920, 3.1",
    ),
    "large-response": Entry(
        Why.SOUNDER,
        "takes at most 1024 bytes of an auth response's header, and waits for `auth_http_timeout` when there are more",
        "takes 8192, and says when there are more",
        "a long error text should not look like a dead service",
    ),
    "cut-address": Entry(
        Why.SOUNDER,
        "takes an IPv6 address that ends with one colon in Auth-Server, and connects to some other one",
        "says that the address is invalid",
        "RFC 4291, 2.2; what was meant cannot be known",
    ),
    "unix-backend": Entry(
        Why.SOUNDER,
        "refuses `unix:/path` in Auth-Server",
        "connects to it, without Auth-Port",
        "a backend on the same machine needs no port",
    ),
    "digest-again": Entry(
        Why.SOUNDER,
        "sends an empty Auth-Pass when it asks again after WAIT, with CRAM-MD5 and APOP",
        "sends the client's digest again",
        "the auth service has nothing else to compare",
        ("auth",),
    ),
    "wait-without-time": Entry(
        Why.SOUNDER,
        "asks again at once after WAIT without Auth-Wait, takes even OK for WAIT then, and so asks for ever",
        "asks again after a second, 100 times at most",
        "thousands of requests in a second help nobody",
    ),
    "line-by-line": Entry(
        Why.SOUNDER,
        "takes all that one read of the backend brings for one reply, so it depends on packets what is lost",
        "takes one line, or all lines of an SMTP reply and the untagged ones of IMAP; passes on what comes behind",
        "a reply has the same end however the network cuts it",
    ),
    "long-xclient": Entry(
        Why.SOUNDER,
        "sends XCLIENT of any length",
        "answers that the command is invalid if XCLIENT with the login takes more than 512 bytes",
        "Postfix, XCLIENT_README: longer ones are refused or cut, and a cut login is another's",
    ),
    "half-close": Entry(
        Why.SOUNDER,
        "closes both sides when the client has ended its output, and loses the backend's answer",
        "passes the answer on, then closes",
        "pipelining clients may end behind their last command",
    ),
    "mixed-families": Entry(
        Why.SOUNDER,
        "writes an IPv6 and an IPv4 address into one `PROXY TCP6` line to the backend",
        "writes the IPv4 one v4-mapped",
        "the PROXY protocol wants one family; backends refuse the line",
    ),
    "path-in-header": Entry(
        Why.SOUNDER,
        "writes the path of its unix socket into the `PROXY` line to the backend, for a client whom a balancer names",
        "writes `PROXY UNKNOWN`",
        "the PROXY protocol has no such line; backends refuse it",
        ("backend",),
    ),
    "one-version": Entry(
        Why.SOUNDER,
        "fails the lookup of an SMTP client's name if one of A and AAAA fails, even where the other has its address",
        "asks for the version of the client's address first, and for the other only where there are none",
        "no other version can confirm the client",
    ),
    "split-cname": Entry(
        Why.SOUNDER,
        "waits for `resolver_timeout` where the CNAME of an SMTP client's address comes without its target",
        "asks for the target",
        "RFC 2317: less than 256 addresses are delegated so",
    ),
    "long-answer": Entry(
        Why.SOUNDER,
        "takes an SMTP client for nameless whose name comes in an answer too long for UDP",
        "asks again over TCP",
        "RFC 7766, 5",
    ),
    "mapped": Entry(
        Why.SOUNDER,
        "asks for the name of `::ffff:192.0.2.1` under ip6.arpa",
        "asks under in-addr.arpa, and confirms by A",
        "an IPv4 client of a socket with `ipv6only=off` has an IPv4 name",
    ),
    "command-behind-header": Entry(
        Why.SOUNDER,
        "does not read a command that came in one packet with the PROXY header until more comes (IMAP, POP3)",
        "reads it after the greeting",
        "the client waits for an answer",
    ),
    "literal-separator": Entry(
        Why.NEWER,
        "takes any byte for the space behind a literal, and any number of CR behind its length",
        "takes space, CR and LF only, and one CR",
        "since 1.29.7",
    ),
    "literal-overflow": Entry(
        Why.NEWER,
        "lets a literal's length overflow",
        "answers `BAD`",
        "since 1.29.7",
    ),
    "untagged-before-ok": Entry(
        Why.NEWER,
        "refuses an IMAP backend that sends an untagged line before `OK` to the login",
        "passes the lines on",
        "since 1.27.3 one line is taken, by mailworker any number but for BYE",
    ),
    "xclient-xtext": Entry(
        Why.NEWER,
        "sends a login raw in XCLIENT, so it may add attributes and commands",
        "sends it in xtext",
        "since 1.29.2",
    ),
    "salt-with-external": Entry(
        Why.NEWER,
        "sends Auth-Salt with EXTERNAL if the POP3 greeting had a salt",
        "sends it with APOP and CRAM-MD5 only",
        "as 1.31.5",
        ("auth",),
    ),
    "large-proxy-header": Entry(
        Why.NEWER,
        "takes PROXY headers of at most 107 bytes",
        "takes 4096, as 1.31.5, and waits for all of them",
        "version 2 with its TLVs is longer",
    ),
    "upstream-without-login": Entry(
        Why.NEWER,
        "leaves the upstream out of log lines without a login",
        "names it",
        "as 1.31.5",
        _LOG,
    ),
    "broken-header": Entry(
        Why.NEWER,
        "logs a broken PROXY header with its line end and all that follows",
        "logs it up to the line end",
        "as 1.31.5",
        _LOG,
    ),
    "log-escaping": Entry(
        Why.LOG,
        "logs what peers send as it came, so that one can forge lines and send codes to terminals",
        r'writes what cannot be printed, `\`, `"` and bytes that are no UTF-8 as `\xXX`',
        "CVE-2009-4487",
        _LOG,
    ),
    "capped-value": Entry(
        Why.LOG,
        "fills a whole record with what a peer has sent, and so leaves out whose session it was",
        "cuts a long value short",
        "every record should say where it belongs",
        _LOG,
    ),
    "password-in-log": Entry(
        Why.LOG,
        "logs a command that is too long, or comes before the greeting, with the password that is in it",
        "logs it up to the word that a login or password follows",
        "a log is read by people who need no passwords",
        _LOG,
    ),
    "closed-without-a-word": Entry(
        Why.LOG,
        "logs nothing when the auth service or the backend closes the connection too early",
        "logs `prematurely closed connection`",
        "the log should say who was at fault",
        _LOG,
    ),
    "handshake-timeout": Entry(
        Why.LOG,
        "counts `timeout` anew for and behind a handshake and a PROXY header; behind STARTTLS it logs nothing",
        "counts it once, from the first byte to the login, and logs `client timed out`",
        "a client shall not hold a connection for several times `timeout`; the log should say why it was sent away",
        _LOG,
    ),
    "small-header": Entry(
        Why.LOG,
        "logs nothing of a version 2 PROXY header that is too small for its addresses",
        "logs `header is too small`",
        "the log should say why a client was sent away",
        _LOG,
    ),
    "too-long-reply": Entry(
        Why.LOG,
        "logs a backend's too long line without its last byte",
        "logs all that fits `proxy_buffer`",
        "an oversight of nginx",
        _LOG,
    ),
    "address-as-text": Entry(
        Why.LOG,
        "logs a backend's address and port as the auth service wrote them, `127.0.0.001:0143`",
        "logs the numbers",
        "the numbers are what is connected to",
        _LOG,
    ),
}


UNSEEN: Mapping[str, Unseen] = {
    "one-challenge": Unseen(
        "uses one challenge, with 31 random bits, for all CRAM-MD5 exchanges of a session",
        "makes a new one of 64 random bits for each",
        "RFC 2195, 2: an answer that was overheard must be worth nothing",
        "tests/mail/dialogue/test_sasl.py::test_no_challenge_is_given_twice",
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
        "tests/mail/test_client_address.py::test_a_header_is_read_in_any_pieces_and_not_a_byte_more",
    ),
    "linked-pid-file": Unseen(
        "writes through a symbolic link at the path of its pid file, and empties the link's target",
        "replaces the link",
        "whoever can write to the folder must not choose what root overwrites",
        "tests/process/test_pid_file.py::test_a_link_is_replaced_and_its_target_untouched",
    ),
    "linked-log": Unseen(
        "opens a log through a symbolic link, whoever made it",
        "refuses one that another user has made",
        "CVE-2016-1247: a worker's user must not choose what root opens and gives away",
        "tests/log/test_sinks.py::test_a_link_that_another_user_planted_is_refused",
    ),
    "readable-key": Unseen(
        "says nothing of a private key that others can read, nor of a certificate that has expired",
        "warns of both with `-t`",
        "the administrator should hear it before the clients do",
        "tests/process/test_command_line.py::test_doubts_about_a_certificate_are_told_and_do_not_fail_the_test",
    ),
    "stale-socket": Unseen(
        "does not start where a unix socket is left of a process that was killed",
        "removes a socket that nobody listens on",
        "a restart should work after whatever happened before",
        "tests/process/test_listeners.py::test_a_unix_socket_in_use_is_left_alone",
    ),
    "endless-include": Unseen(
        "crashes on a file that includes itself",
        "says `Too many open files` where 64 are nested",
        "`-t` is there to tell",
        "tests/config/test_command.py::test_a_file_that_includes_itself_runs_out_of_files",
    ),
}
"""What parties cannot show each other, or not twice."""
