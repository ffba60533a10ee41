"""STARTTLS, STLS and TLS from the start: off, on and only; what is forgotten and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

from tests.oracle.case import PLAIN, Act, Case, Difference, accept, at_once, base64, case, raw, reject
from tests.oracle.cases.auth_http import LOGIN

STARTTLS = {"imap": "a STARTTLS", "pop3": "STLS", "smtp": "STARTTLS"}
AUTH = {"imap": "a AUTHENTICATE", "pop3": "AUTH", "smtp": "AUTH"}
ASK = {"imap": "a CAPABILITY", "pop3": "CAPA", "smtp": "EHLO client.test"}
USER = base64("user")
LOGGED = Difference("handshake-timeout", "client timed out (110: Connection timed out) while in starttls state")


def _everywhere(protocol: str) -> Iterator[Case]:
    start, login, ask, auth = STARTTLS[protocol], LOGIN[protocol], ASK[protocol], AUTH[protocol]
    begin = (start, Act.SHAKE_HANDS)
    for variant in ("starttls", "only"):
        server = f"{protocol}-{variant}"
        yield case("capabilities inside TLS", server, *begin, ask)
        yield case("a login inside TLS", server, *begin, *login)
        yield case("TLS inside TLS", server, *begin, start, ask)
        yield case("plaintext behind the command is dropped", server, at_once(start, ask, replies=1), Act.SHAKE_HANDS)
        yield case("pipelined before the command", server, at_once(ask, start), Act.SHAKE_HANDS, ask)
        yield case("arguments", server, f"{start} now", Act.SHAKE_HANDS)
        yield case("plaintext instead of a handshake", server, start, at_once(ask, replies=1))
        yield case("the client leaves instead of shaking hands", server, start, Act.END)
    yield case("the first error is the last", f"{protocol}-zero", "X")
    yield case("there is no time", f"{protocol}-instant", Act.AWAIT_CLOSE)
    yield case("the client never begins its handshake", f"{protocol}-hastytls", Act.AWAIT_CLOSE)
    yield case("no header comes", f"{protocol}-hastybehind", Act.AWAIT_CLOSE)
    yield case("the client never says a word", f"{protocol}-hasty", Act.AWAIT_CLOSE)
    yield case("the client never shakes hands", f"{protocol}-hasty", start, Act.AWAIT_CLOSE, differs=LOGGED)
    yield case("the client ends a line too late", f"{protocol}-hasty", raw("NOO", 0), Act.AWAIT_CLOSE)
    yield case("a login in clear", f"{protocol}-starttls", *login)
    yield case("errors are counted through", f"{protocol}-starttls", "X", "X", *begin, "X", "X", "X", Act.AWAIT_CLOSE)
    yield case(
        "attempts are counted through",
        f"{protocol}-starttls",
        *login,
        *begin,
        *login,
        auth=(reject("No", "Auth-Wait: 1"), accept()),
    )
    told = Difference("refusal-in-log", "client was refused: STARTTLS inside TLS while in auth state, client: ")
    yield case("TLS on a TLS port", f"{protocol}-tlsboth", start, ask, differs=told)
    yield case("TLS on a TLS port where it is off", f"{protocol}-tls", start, ask)
    yield case("a login", f"{protocol}-tls", *login)
    yield case("a failed login", f"{protocol}-tls", *login, Act.AWAIT_CLOSE, auth=reject())
    yield case("the fifth error is the last", f"{protocol}-tls", *("X",) * 5, Act.AWAIT_CLOSE)
    for mechanism in (
        "PLAIN",
        f"PLAIN {PLAIN}",
        "LOGIN",
        f"LOGIN {USER}",
        "CRAM-MD5",
        "EXTERNAL",
        f"EXTERNAL {USER}",
        "FOO",
    ):
        yield case(f"{mechanism} in clear", f"{protocol}-only", f"{auth} {mechanism}")
    yield case("a mechanism is missing in clear", f"{protocol}-only", auth)
    yield case("CRAM-MD5 inside TLS", f"{protocol}-only", *begin, f"{auth} CRAM-MD5", "*")


CASES: tuple[Case, ...] = (
    *(case for protocol in STARTTLS for case in _everywhere(protocol)),
    case("the LOGIN command in clear", "imap-only", "a LOGIN user pass", "b LOGIN {4}", "user pass"),
    case("USER and PASS in clear", "pop3-only", "USER user", "PASS pass"),
    case("APOP in clear", "pop3-only", "APOP user 0123456789abcdef0123456789abcdef"),
    case("the host's name", "smtp-nameless", "EHLO client.test"),
    case("USER in small letters among the capabilities", "pop3-lower", "CAPA"),
    case("MAIL in clear", "smtp-only", "MAIL FROM:<a@b>"),
    case("HELO is forgotten", "smtp-starttls", "HELO client.test", "STARTTLS", Act.SHAKE_HANDS, f"AUTH PLAIN {PLAIN}"),
    case("EHLO is forgotten", "smtp-starttls", "EHLO client.test", "STARTTLS", Act.SHAKE_HANDS, f"AUTH PLAIN {PLAIN}"),
    case(
        "that there was an EHLO is not forgotten",
        "smtp-starttls",
        "EHLO client.test",
        "STARTTLS",
        Act.SHAKE_HANDS,
        "HELO client.test",
        f"AUTH PLAIN {PLAIN}",
    ),
    case(
        "APOP inside TLS",
        "pop3-only",
        "STLS",
        Act.SHAKE_HANDS,
        "APOP user 0123456789abcdef0123456789abcdef",
        auth=accept("Auth-Pass: clear"),
    ),
    case("MAIL is forgotten", "smtp-nonestarttls", "MAIL FROM:<a@b>", "STARTTLS", Act.SHAKE_HANDS, "RCPT TO:<c@d>"),
    case("USER is forgotten", "pop3-starttls", "STLS", Act.SHAKE_HANDS, "PASS pass"),
)
