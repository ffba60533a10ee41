"""Every mechanism in every protocol: with and without an initial response, enabled or not, good and bad."""

from __future__ import annotations

from collections.abc import Iterator

from tests.oracle.case import PLAIN, Act, Case, Difference, accept, at_once, base64, case, plain, reject

AUTH = {"imap": "a AUTHENTICATE", "pop3": "AUTH", "smtp": "AUTH"}
USER, PASS = base64("user"), base64("pass")
DIGEST = "0123456789abcdef0123456789abcdef"
CRAM = base64(f"user {DIGEST}")
GIVEN = accept("Auth-Pass: clear")
NAMELESS = Difference("upstream-without-login", ", upstream: ")


def _only_pop3(protocol: str, difference: Difference) -> Difference | None:
    return difference if protocol == "pop3" else None


def _mechanisms(protocol: str) -> Iterator[Case]:
    auth, every = AUTH[protocol], f"{protocol}-every"
    for server in (protocol, every):
        yield case("PLAIN", server, f"{auth} PLAIN", PLAIN)
        yield case("PLAIN with an initial response", server, f"{auth} PLAIN {PLAIN}")
        yield case("LOGIN", server, f"{auth} LOGIN", USER, PASS)
        yield case("LOGIN with an initial response", server, f"{auth} LOGIN {USER}", PASS)
        yield case("CRAM-MD5", server, f"{auth} CRAM-MD5", CRAM, auth=GIVEN)
        yield case("CRAM-MD5 with an initial response", server, f"{auth} CRAM-MD5 {CRAM}")
    yield case("CRAM-MD5 without a password from the service", every, f"{auth} CRAM-MD5", CRAM)
    yield case("a mechanism in small letters", protocol, f"{auth.lower()} plain", PLAIN)
    yield case("a mechanism cut short", protocol, f"{auth} PLAI")
    yield case("a mechanism with more behind", protocol, f"{auth} PLAINS")
    told = Difference("refusal-in-log", "client was refused: mechanism NTLM is not known while in auth state, client: ")
    yield case("a mechanism of Outlook's", protocol, f"{auth} NTLM", differs=told)


def _external(protocol: str) -> Iterator[Case]:
    auth, every = AUTH[protocol], f"{protocol}-every"
    salted = _only_pop3(protocol, Difference("salt-with-external", theirs="Auth-Salt: <SALT>"))
    yield case("EXTERNAL", protocol, f"{auth} EXTERNAL", USER)
    yield case("EXTERNAL", every, f"{auth} EXTERNAL", USER, auth=GIVEN, differs=salted)
    yield case("EXTERNAL with an initial response", every, f"{auth} EXTERNAL {USER}", auth=GIVEN, differs=salted)
    yield case("EXTERNAL without a password from the service", every, f"{auth} EXTERNAL {USER}", differs=salted)
    yield case("EXTERNAL with no base64", every, f"{auth} EXTERNAL", "!!!!")
    yield case("EXTERNAL with no base64 at once", every, f"{auth} EXTERNAL !!!!")
    yield case(
        "EXTERNAL with an initial response",
        protocol,
        f"{auth} EXTERNAL {USER}",
        auth=GIVEN,
        differs=Difference("external-disabled", theirs="Auth-Method: external"),
    )
    yield case(
        "EXTERNAL after a failed PLAIN",
        every,
        f"{auth} PLAIN {PLAIN}",
        f"{auth} EXTERNAL {USER}",
        auth=(reject("No", "Auth-Wait: 1"), GIVEN),
        differs=Difference("stale-password", r"Auth-Pass: \r\n"),
    )


def _plain(protocol: str) -> Iterator[Case]:
    auth = AUTH[protocol]
    yield case("PLAIN with the login as identity", protocol, f"{auth} PLAIN {plain('user', 'user', 'pass')}")
    yield case(
        "PLAIN with an identity to act for",
        protocol,
        f"{auth} PLAIN {plain('admin', 'user', 'pass')}",
        differs=Difference("another-identity", "Authorization identity is not allowed"),
    )
    yield case("PLAIN with an empty password", protocol, f"{auth} PLAIN {plain('', 'user', '')}")
    yield case("PLAIN without a password", protocol, f"{auth} PLAIN {plain('', 'user')}")
    yield case("PLAIN without NUL", protocol, f"{auth} PLAIN {plain('user')}")
    yield case("PLAIN with nothing", protocol, f"{auth} PLAIN", "=")
    yield case("PLAIN without padding", protocol, f"{auth} PLAIN AHUAcA")
    yield case("PLAIN with no base64", protocol, f"{auth} PLAIN", "!!!!")
    yield case("PLAIN with no base64 at once", protocol, f"{auth} PLAIN !!!!")
    yield case("PLAIN with an impossible length", protocol, f"{auth} PLAIN", "AAAAA")
    yield case("PLAIN with text behind the padding", protocol, f"{auth} PLAIN AHUAcA==AHUAcA==")
    yield case("PLAIN is given up", protocol, f"{auth} PLAIN", "*", f"{auth} PLAIN", PLAIN)
    yield case("PLAIN with an empty line", protocol, f"{auth} PLAIN", "")
    yield case("PLAIN with more words behind the response", protocol, f"{auth} PLAIN", f"{PLAIN} more words")
    yield case("PLAIN with a leading space", protocol, f"{auth} PLAIN", f" {PLAIN}")
    yield case("PLAIN with percent signs", f"{protocol}-haproxy", f"{auth} PLAIN {plain('', 'us%er', 'p s')}")
    yield case(
        "PLAIN with an empty user name",
        protocol,
        f"{auth} PLAIN {plain('', '', 'pass')}",
        differs=Difference("plain-rfc4616", "client sent invalid login in AUTH PLAIN command"),
    )
    yield case(
        "PLAIN with NUL in the password",
        protocol,
        f"{auth} PLAIN {plain('', 'user', 'pa', 'ss')}",
        differs=Difference("plain-rfc4616", "client sent invalid password in AUTH PLAIN command"),
    )


def _responses(protocol: str) -> Iterator[Case]:
    auth, every = AUTH[protocol], f"{protocol}-every"
    cram = f"{auth} CRAM-MD5"
    if protocol != "imap":
        yield case("LOGIN with no base64 as the user name", protocol, f"{auth} LOGIN", "!!!!")
    yield case("LOGIN is given up at the password", protocol, f"{auth} LOGIN", USER, "*")
    yield case("LOGIN with no base64 as the password", protocol, f"{auth} LOGIN {USER}", "!!!!")
    yield case("LOGIN with no base64 as the user name at once", protocol, f"{auth} LOGIN !!!!")
    yield case("LOGIN with an empty password", protocol, f"{auth} LOGIN {USER}", "=")
    yield case("LOGIN with an empty user name", protocol, f"{auth} LOGIN", "=", PASS, differs=NAMELESS)
    yield case("CRAM-MD5 with no base64", every, cram, "!!!!")
    yield case("CRAM-MD5 with a short digest", every, cram, base64("user 0123"))
    unnamed = Difference("password-in-log", theirs='login: "user"')
    yield case("CRAM-MD5 without a space", every, cram, base64("user"), differs=unnamed)
    in_vain = Difference("password-in-log", theirs="user\0pass")
    yield case("LOGIN with a response to PLAIN", protocol, f"{auth} LOGIN", PLAIN, "!!!!", differs=in_vain)
    yield case("CRAM-MD5 with two spaces", every, cram, base64(f"us er {DIGEST}"))
    yield case("the last response is pipelined", protocol, at_once(f"{auth} PLAIN", PLAIN))
    yield case("all of LOGIN is pipelined", protocol, at_once(f"{auth} LOGIN", USER, PASS))
    yield case("the client leaves at the prompt", protocol, f"{auth} PLAIN", Act.END)


def _tries(protocol: str) -> Iterator[Case]:
    auth, every = AUTH[protocol], f"{protocol}-every"
    plain_again, login_again, cram = f"{auth} PLAIN {PLAIN}", f"{auth} LOGIN", f"{auth} CRAM-MD5"
    later = reject("Try again", "Auth-Wait: 1")
    again = (later, accept())
    yield case("PLAIN again after a failure", protocol, plain_again, plain_again, auth=again)
    yield case("LOGIN again after a failure", protocol, login_again, USER, PASS, login_again, USER, PASS, auth=again)
    yield case("CRAM-MD5 again after a failure", every, cram, CRAM, cram, CRAM, auth=(later, GIVEN))
    unnamed_again = Difference("password-in-log", theirs='login: "xx"')
    yield case(
        "a bad CRAM-MD5 after a failure", every, cram, CRAM, cram, base64("xx"), auth=later, differs=unnamed_again
    )
    asked_again = (reject("WAIT", "Auth-Wait: 1"), GIVEN)
    again_too = Difference("digest-again", theirs=r"Auth-Pass: \r\n")
    yield case("CRAM-MD5 when the service waits", every, cram, CRAM, auth=asked_again, differs=again_too)
    if protocol == "pop3":
        yield case("APOP when the service waits", every, f"APOP user {DIGEST}", auth=asked_again, differs=again_too)
    yield case("PLAIN after a failed CRAM-MD5", every, cram, CRAM, plain_again, auth=again)


CASES: tuple[Case, ...] = (
    *(
        case
        for protocol in AUTH
        for make in (_mechanisms, _external, _plain, _responses, _tries)
        for case in make(protocol)
    ),
    case(
        "a login with a space",
        "smtp",
        f"AUTH PLAIN {plain('', 'us er+=', 'pass')}",
        differs=Difference("xclient-xtext", "LOGIN=us+20er+2B+3D"),
    ),
    case(
        "a login with line ends",
        "smtp",
        f"AUTH PLAIN {plain('', 'u NAME=evil' + chr(13) + chr(10) + 'QUIT', 'pass')}",
        differs=Difference("xclient-xtext", "LOGIN=u+20NAME+3Devil+0D+0AQUIT"),
    ),
)
