"""The login at the backend: its answers, good and bad, and what it is told of the client."""

from __future__ import annotations

from tests.oracle.case import PLAIN, Act, Case, Difference, accept, base64, case, plain
from tests.oracle.cases.auth_http import LOGIN

OFFER = b"250-backend\r\n250 AUTH PLAIN\r\n"

REFUSALS = {
    "imap": (
        ("a greeting of BYE", ("* BYE overloaded",)),
        ("a greeting of PREAUTH", ("* PREAUTH ready",)),
        ("a greeting of another protocol", ("220 backend ESMTP",)),
        ("NO to LOGIN", (None, "a NO no login here")),
        ("BAD to LOGIN", (None, "a BAD what")),
        ("NO to the user name", (None, None, "a NO no such user")),
        ("NO to the password", (None, None, None, "a NO wrong password")),
        ("BAD to the password", (None, None, None, "a BAD wrong")),
        ("OK under another tag", (None, None, None, "b OK done")),
        ("BYE to the password", (None, None, None, "* BYE bye")),
    ),
    "pop3": (
        ("a greeting of -ERR", ("-ERR overloaded",)),
        ("a greeting of another protocol", ("* OK IMAP4 ready",)),
        ("-ERR to USER", (None, "-ERR no such user")),
        ("-ERR to PASS", (None, None, "-ERR wrong password")),
        ("a word to PASS", (None, None, "fine")),
    ),
    "smtp": (
        ("a greeting of 421", ("421 4.3.2 overloaded",)),
        ("a greeting of 554", ("554 5.7.1 go away",)),
        ("a greeting of several lines", (b"220-backend\r\n220-has\r\n220 much to say\r\n",)),
        ("a greeting of another protocol", ("+OK POP3 ready",)),
        ("502 to EHLO", (None, "502 5.5.2 what")),
        ("a refusal of XCLIENT", (None, None, "550 5.7.0 not you")),
        ("250 to XCLIENT", (None, None, "250 ok")),
    ),
}

_NO_REFUSALS = ("a greeting of PREAUTH", "a greeting of another protocol", "OK under another tag", "a word to PASS")
_NO_REFUSAL = Difference("no-refusal", "nternal server error")
_REFUSED_USER = {"-ERR to USER": Difference("refused-user", "backend < CAPA")}
_AT_ONCE = Difference("literals-at-once", "backend < a LOGIN {4+}", "backend < a LOGIN {4}")

CASES: tuple[Case, ...] = (
    *(
        case(
            f"the backend answers with {name}",
            f"{protocol}{variant}",
            *LOGIN[protocol],
            backend=backend,
            differs=_NO_REFUSAL if variant and name in _NO_REFUSALS else _REFUSED_USER.get(name),
        )
        for protocol, refusals in REFUSALS.items()
        for name, backend in refusals
        for variant in ("", "-frank")
    ),
    *(
        case(
            f"the backend says nothing as answer {number}",
            f"{protocol}-hasty",
            *LOGIN[protocol],
            backend=(*((None,) * number), Act.KEEP_SILENT),
        )
        for protocol in LOGIN
        for number in (0, 1)
    ),
    *(
        case(
            f"the backend lists {listed}",
            "imap",
            "a LOGIN user pass",
            "b NOOP",
            backend=(f"* OK [CAPABILITY IMAP4rev1 {listed}] ready",),
            differs=differs,
        )
        for listed, differs in (
            ("LITERAL+", _AT_ONCE),
            ("LITERAL-", _AT_ONCE),
            ("SASL-IR AUTH=PLAIN", None),
            ("SASL-IR LOGINDISABLED AUTH=PLAIN", Difference("backend-without-login", "AUTHENTICATE PLAIN A", "{4}")),
            ("LOGINDISABLED AUTH=PLAIN STARTTLS", Difference("backend-without-login", "AUTHENTICATE PLAIN\\r", "{4}")),
            ("LITERAL+ LOGINDISABLED", Difference("backend-without-login", "upstream refuses LOGIN", "{4}")),
            ("LITERAL+ LOGINDISABLED STARTTLS", Difference("backend-without-login", "no login before STARTTLS", "{4}")),
            ("LITERALS", None),
        )
    ),
    *(
        case("the backend hears of the client by the PROXY protocol", f"{protocol}-haproxy", *LOGIN[protocol])
        for protocol in LOGIN
    ),
    *(
        case(
            "the backend closes after the login",
            protocol,
            *LOGIN[protocol],
            "x NOOP",
            Act.AWAIT_CLOSE,
            backend=(*((None,) * steps), Act.CLOSE),
        )
        for protocol, steps in (("imap", 4), ("pop3", 3), ("smtp", 3))
    ),
    case(
        "a refusal of the client's EHLO",
        "smtp",
        "EHLO client.test",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, None, None, "501 5.5.4 bad name"),
    ),
    case(
        "a refusal of the client's EHLO",
        "smtp-frank",
        "EHLO client.test",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, None, None, "501 5.5.4 bad name"),
    ),
    case(
        "AUTH PLAIN goes to the backend",
        "smtp-login",
        f"AUTH PLAIN {PLAIN}",
        differs=Difference("ehlo-before-auth", "NAME=[UNAVAILABLE]\\r\\n\nbackend < EHLO proxy.test"),
    ),
    case(
        "AUTH PLAIN goes to the backend behind the client's HELO",
        "smtp-login",
        "HELO x",
        f"AUTH PLAIN {PLAIN}",
        differs=Difference("ehlo-before-auth", "backend < EHLO x", "backend < HELO x"),
    ),
    case("AUTH PLAIN goes to the backend behind the client's EHLO", "smtp-login", "EHLO x", f"AUTH PLAIN {PLAIN}"),
    case(
        "AUTH PLAIN goes to the backend without XCLIENT",
        "smtp-directlogin",
        f"AUTH PLAIN {PLAIN}",
        differs=Difference("ehlo-before-auth", "backend < EHLO proxy.test", "backend < HELO proxy.test"),
    ),
    case(
        "AUTH PLAIN with what the service gave",
        "smtp-login",
        "EHLO x",
        f"AUTH PLAIN {PLAIN}",
        auth=accept("Auth-User: other", "Auth-Pass: secret"),
    ),
    case(
        "a long password behind AUTH PLAIN",
        "smtp-login",
        "EHLO x",
        f"AUTH PLAIN {plain('', 'user', 'p' * 600)}",
        backend=(None, None, None, None, "334 go on", "235 2.7.0 welcome"),
        differs=Difference("long-initial-response", "client logged in", "upstream sent invalid response"),
    ),
    case(
        "a long password behind AUTH PLAIN",
        "pop3",
        *LOGIN["pop3"],
        auth=accept(f"Auth-Pass: {'p' * 300}"),
        differs=Difference("long-pop3-command", "backend < AUTH PLAIN", "backend < PASS "),
    ),
    case(
        "a long password where AUTH is not known",
        "pop3",
        *LOGIN["pop3"],
        auth=accept(f"Auth-Pass: {'p' * 300}"),
        backend=(None, "-ERR unknown command"),
        differs=Difference("long-pop3-command", "backend < AUTH PLAIN", "upstream sent invalid response"),
    ),
    case(
        "XCLIENT where the backend lists none",
        "smtp",
        "EHLO client.test",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, b"250-backend\r\n250 SIZE 1000\r\n"),
        differs=Difference("unlisted-xclient", "upstream lists no LOGIN", "backend < XCLIENT "),
    ),
    case(
        "XCLIENT where the backend lists no NAME",
        "smtp",
        "EHLO client.test",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, b"250-backend\r\n250 XCLIENT ADDR LOGIN\r\n"),
        differs=Difference("unlisted-xclient", "LOGIN=user\\r\\n", "NAME="),
    ),
    case("AUTH PLAIN after LOGIN", "smtp-login", "EHLO x", "AUTH LOGIN", base64("user"), base64("pass")),
    case(
        "AUTH PLAIN after EXTERNAL with a password",
        "smtp-directlogin",
        "EHLO x",
        f"AUTH EXTERNAL {base64('user')}",
        auth=accept("Auth-Pass: secret"),
        backend=(None, OFFER),
    ),
    case(
        "AUTH PLAIN is not offered but LOGIN is",
        "smtp-directlogin",
        "EHLO x",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, b"250-backend\r\n250 AUTH NTLM LOGIN\r\n", "334 name", "334 password", "235 2.7.0 in"),
        differs=Difference("auth-mechanism", "backend < AUTH LOGIN", "backend < AUTH PLAIN"),
    ),
    case(
        "AUTH offers no mechanism that we have",
        "smtp-directlogin",
        "EHLO x",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, b"250-backend\r\n250 AUTH NTLM GSSAPI\r\n", "504 5.5.4 no"),
        differs=Difference("auth-mechanism", "upstream does not offer AUTH PLAIN", "backend < AUTH PLAIN"),
    ),
    case(
        "AUTH is offered only behind STARTTLS",
        "smtp-directlogin",
        "EHLO x",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, b"250-backend\r\n250 STARTTLS\r\n", "503 5.5.1 authentication not enabled"),
        differs=Difference("auth-mechanism", "upstream offers no login before STARTTLS", "backend < AUTH PLAIN"),
    ),
    case(
        "AUTH offers PLAIN beside others",
        "smtp-directlogin",
        "EHLO x",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, b"250-backend\r\n250 AUTH NTLM LOGIN PLAIN\r\n"),
    ),
    case(
        "the backend refuses with a referral",
        "imap-frank",
        "a LOGIN user pass",
        backend=(None, None, None, "a NO [REFERRAL imap://user;AUTH=*@elsewhere.test/] go there"),
        differs=Difference("referral", "client < * BAD internal server error", "client < a NO [REFERRAL"),
    ),
    case(
        "AUTH PLAIN is refused",
        "smtp-login",
        "EHLO x",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, None, None, None, "535 5.7.8 no"),
    ),
    case(
        "AUTH PLAIN is not known",
        "smtp-directlogin",
        "EHLO x",
        f"AUTH PLAIN {PLAIN}",
        backend=(None, OFFER, "503 5.5.1 what"),
    ),
    case(
        "XCLIENT with a user that the service gave", "smtp", f"AUTH PLAIN {PLAIN}", auth=accept("Auth-User: a@b.test")
    ),
    case(
        "+ alone",
        "imap-hasty",
        "a LOGIN user pass",
        backend=(None, "+", "+"),
        differs=Difference("short-reply", "a OK done", "timed out"),
    ),
    *(
        case(
            f"the backend answers with {reply} alone",
            f"{protocol}-hasty",
            *LOGIN[protocol],
            backend=(None, reply),
            differs=Difference("short-reply", "upstream sent invalid response", "timed out"),
        )
        for protocol, reply in (("imap", "*"), ("pop3", ""), ("smtp", "2"))
    ),
    *(
        case(
            "keywords in small letters",
            protocol,
            *LOGIN[protocol],
            backend=backend,
            differs=Difference("keyword-case", "client logged in", "upstream sent invalid response"),
        )
        for protocol, backend in (
            ("imap", ("* Ok ready", None, None, "a Ok done")),
            ("pop3", ("+Ok ready", "+ok", "+Ok done")),
        )
    ),
    case(
        "an answer of several lines to the login",
        "imap",
        "a LOGIN user pass",
        "b NOOP",
        backend=(None, None, None, None, b"* 3 EXISTS\r\n* 0 RECENT\r\nb OK done\r\n"),
    ),
)
