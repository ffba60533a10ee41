"""Where nginx lets somebody in, or bytes through, that should stay out; and where it stalls or loses bytes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.oracle.case import (
    Act,
    Answer,
    AtEnd,
    Case,
    Difference,
    Held,
    Send,
    accept,
    at_once,
    case,
    headers,
    plain,
    raw,
    reject,
)
from tests.oracle.cases.auth_http import LOGIN

ISE = {"imap": "* BAD internal server error", "pop3": "-ERR internal server error", "smtp": "451 4.3.2 Internal"}
# Of a backend until the relay begins.
ANSWERS = {"imap": 4, "pop3": 3, "smtp": 3}
SERVER, PORT = "Auth-Server: $server", "Auth-Port: $port"
UNIX = Difference("unix-backend", "unix:/nonexistent/backend failed")


def _verdicts(protocol: str) -> Iterator[Case]:
    login = LOGIN[protocol]
    closed = Difference("verdict-fails-closed", ISE[protocol])
    silent = Difference("closed-without-a-word", "prematurely closed connection")
    accepted, no_status_line = headers("Auth-Status: OK", SERVER, PORT), len("HTTP/1.0 200 OK\r\n")
    answers: dict[str, tuple[Answer, Difference]] = {
        "500 and OK": (headers("Auth-Status: OK", SERVER, PORT, status="HTTP/1.0 500 Oops"), closed),
        "401 and OK": (headers("Auth-Status: OK", SERVER, PORT, status="HTTP/1.1 401 Unauthorized"), closed),
        "302 and OK": (headers("Auth-Status: OK", SERVER, PORT, status="HTTP/1.0 302 Found"), closed),
        "no status line": (accepted[no_status_line:], closed),
        "no Auth-Status": (headers(SERVER, PORT), closed),
        "an empty Auth-Status": (headers("Auth-Status:", SERVER, PORT), closed),
        "NUL in the password": (accept("Auth-Pass: a\0b"), Difference("nul-from-service", ISE[protocol])),
        "a tab in a refusal": (reject("No\tway"), Difference("control-bytes-in-refusal", "No way")),
        "an eight-bit refusal": (reject("D\xe9sol\xe9"), Difference("log-escaping", r'failed: "D\xE9sol\xE9"')),
        "nothing": (Act.CLOSE, silent),
        "an address with zeros": (
            headers("Auth-Status: OK", "Auth-Server: 127.0.0.001", "Auth-Port: $closed"),
            Difference("address-as-text", theirs="upstream: 127.0.0.001:"),
        ),
        "an address with empty numbers": (
            headers("Auth-Status: OK", "Auth-Server: 127...1", "Auth-Port: $closed"),
            Difference("address-as-text", theirs="upstream: 127...1:"),
        ),
        "an address cut short": (
            headers("Auth-Status: OK", "Auth-Server: ::1:", "Auth-Port: $closed"),
            Difference("cut-address", 'sent invalid server address:"::1:"'),
        ),
        "a unix socket": (headers("Auth-Status: OK", "Auth-Server: unix:/nonexistent/backend"), UNIX),
    }
    for name, (answer, difference) in answers.items():
        yield case(f"the service answers with {name}", protocol, *login, auth=answer, differs=difference)
    yield case(
        "the service answers with more than 1024 bytes",
        f"{protocol}-hasty",
        *login,
        auth=Held(accept("X-Long: " + "x" * 2000)),
        differs=Difference("large-response", theirs="timed out (110: Connection timed out) while in http auth state"),
    )
    yield case(
        "the service closes in the middle of its header",
        f"{protocol}-hasty",
        *login,
        auth=accept()[:-2],
        differs=Difference("cut-response", "prematurely closed connection"),
    )
    yield case("nobody listens at the service", f"{protocol}-noauth", *login)


def _backends(protocol: str) -> Iterator[Case]:
    closed = Difference("closed-without-a-word", "upstream prematurely closed connection")
    for number in (0, 1):
        yield case(
            f"the backend closes instead of answer {number}",
            protocol,
            *LOGIN[protocol],
            backend=(*((None,) * number), Act.CLOSE),
            differs=closed,
        )
    yield case(
        "the backend refuses with a code for terminals",
        f"{protocol}-frank",
        *LOGIN[protocol],
        backend=(None, "* BYE -ERR 421 \x1b[31mno"),
        differs=Difference("control-bytes-from-backend", ISE[protocol]),
    )
    yield case(
        "the backend greets with an empty line",
        protocol,
        *LOGIN[protocol],
        backend=("",),
        differs=Difference("short-reply", ISE[protocol]),
    )
    greeting = {"imap": "* OK ", "pop3": "+OK ", "smtp": "220 "}[protocol] + "x" * 100
    yield case(
        "the backend's greeting is longer than the buffer",
        f"{protocol}-narrow",
        *LOGIN[protocol],
        backend=(greeting,),
        differs=Difference("too-long-reply", greeting[:64]),
    )
    yield case(
        "the client ends behind its last command",
        protocol,
        *LOGIN[protocol],
        Send(b"x NOOP\r\n", 0),
        Act.END,
        backend=(*((None,) * ANSWERS[protocol]), AtEnd(b"x OK the last word\r\n")),
        differs=Difference("half-close", "x OK the last word"),
    )


def _proxy_protocol(protocol: str) -> Iterator[Case]:
    header = "PROXY TCP4 192.0.2.1 192.0.2.2 1111 143"
    behind = f"{protocol}-behind"
    unix = "\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\xd8" + "\0" * 216
    noop = {"imap": "a NOOP"}.get(protocol, "NOOP")
    yield case(
        "a header of 232 bytes",
        behind,
        raw(unix),
        *LOGIN[protocol],
        differs=Difference("large-proxy-header", theirs="header is too large"),
    )
    stalls = Difference("command-behind-header", theirs="silence") if protocol != "smtp" else None
    yield case("a header and a command at once", behind, at_once(header, noop), differs=stalls)
    yield case(
        "a trusted IPv6 source before an IPv4 listener",
        f"{protocol}-trusting",
        "PROXY TCP6 $real6 2001:db8::1 1111 143",
        *LOGIN[protocol],
        differs=Difference("mixed-families", "::ffff:127.0.0.1"),
    )


MANY_LINES = (
    case(
        "the backend greets with a refusal of several lines",
        "smtp",
        *LOGIN["smtp"],
        backend=(b"421-backend\r\n421 is busy\r\n",),
        differs=Difference("log-escaping", r"421-backend\x0D\x0A421 is busy"),
    ),
    case(
        "the backend greets with a refusal of several lines",
        "smtp-frank",
        *LOGIN["smtp"],
        backend=(b"421-backend\r\n421 is busy\r\n",),
        differs=Difference("log-escaping", r"421-backend\x0D\x0A421 is busy"),
    ),
)

LINES: dict[str, tuple[tuple[bytes, ...], str]] = {
    "imap": ((b"* OK one\r\n+ two\r\n",), ISE["imap"]),
    "pop3": ((b"+OK one\r\n+OK two\r\n", b"+OK three\r\n", b"+OK four\r\n"), "client < +OK three"),
    "smtp": ((b"220 one\r\n250-two\r\n250 XCLIENT ADDR NAME LOGIN\r\n",), "client < 220 backend ESMTP again"),
}


def _lines_of_the_backend(protocol: str) -> Iterator[Case]:
    backend, seen = LINES[protocol]
    yield case(
        "two replies at once instead of the greeting",
        protocol,
        *LOGIN[protocol],
        backend=backend,
        differs=Difference("line-by-line", seen),
    )


def _waiting(protocol: str) -> Iterator[Case]:
    yield case(
        "the service answers with WAIT and no time",
        protocol,
        *LOGIN[protocol],
        auth=(reject("WAIT"), accept(), reject("Never")),
        differs=Difference("wait-without-time", "client logged in", "login failed"),
    )


CASES: tuple[Case, ...] = (
    *(
        case
        for protocol in LOGIN
        for make in (_verdicts, _backends, _proxy_protocol, _lines_of_the_backend, _waiting)
        for case in make(protocol)
    ),
    *MANY_LINES,
    case(
        "the service refuses with a code of success",
        "smtp",
        *LOGIN["smtp"],
        auth=reject("Hi", "Auth-Error-Code: 235 2.7.0"),
        differs=Difference("code-of-success", "535 5.7.0 Hi"),
    ),
    case(
        "the backend's port has zeros",
        "imap",
        *LOGIN["imap"],
        auth=headers("Auth-Status: OK", SERVER, "Auth-Port: 0$port"),
        differs=Difference("address-as-text", theirs=":0"),
    ),
    case(
        "an untagged line before OK",
        "imap",
        *LOGIN["imap"],
        backend=(None, None, None, b"* CAPABILITY IMAP4rev1\r\na OK done\r\n"),
        differs=Difference("untagged-before-ok", r"* CAPABILITY IMAP4rev1\r\n"),
    ),
    case(
        "a login that is too long for XCLIENT",
        "smtp",
        f"AUTH PLAIN {plain('', 'u' * 600, 'pass')}",
        differs=Difference("long-xclient", "500 5.5.1 Invalid command"),
    ),
    case(
        "no password for the backend",
        "smtp-directlogin",
        "EHLO x",
        "AUTH EXTERNAL dXNlcg==",
        backend=(None, b"250-backend\r\n250 AUTH PLAIN\r\n"),
    ),
)
