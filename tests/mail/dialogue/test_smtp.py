from __future__ import annotations

import pytest

from mailworker.model import AuthMethod, Starttls
from mailworker.wire.login import Login
from tests.mail.cases import AUTH_PLAIN
from tests.mail.dialogue.dialogues import (
    ALL_METHODS,
    OVER,
    Case,
    check,
    converse,
    envelope,
    names,
    next_request,
    plain,
    server_of,
)
from tests.mail.dialogue.test_dialogue import dialogue_of
from tests.support.memory_stream import MemoryStream, run

OK = b"250 2.0.0 OK\r\n"
INVALID = b"500 5.5.1 Invalid command\r\n"
ARGUMENT = b"501 5.5.4 Invalid argument\r\n"
SEQUENCE = b"503 5.5.1 Bad sequence of commands\r\n"
AUTHENTICATE = b"530 5.7.1 Authentication required\r\n"
NO = b"535 5.7.0 refused\r\n"
HELO = b"250 mail.example.com\r\n"
EHLO = b"250-mail.example.com\r\n250 AUTH PLAIN LOGIN\r\n"
BYE = b"221 2.0.0 Bye\r\n"
GO_AHEAD = b"220 2.0.0 Start TLS\r\n"
MAIL, RCPT = b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>"
TOO_MANY = "client sent too many invalid commands"
NONE = {"auth": AuthMethod.NONE}
ON = {"starttls": Starttls.ON}
ONLY = {"starttls": Starttls.ONLY}

COMMANDS = [
    Case("helo", b"HELO me\r\n", HELO),
    Case("ehlo", b"ehlo me\n", EHLO),
    Case("helo without an argument", b"HELO\r\nEHLO \r\n", ARGUMENT * 2),
    Case("helo of words", b"HELO a b\r\nEHLO LaserJet  4 \r\n", HELO + EHLO),
    Case("helo of too many words", b"HELO%b\r\n" % (b" a" * 12), INVALID),
    Case("helo with NUL", b"HELO a\0b\r\nEHLO a\0b\r\n", ARGUMENT * 2),
    Case(
        "capabilities",
        b"EHLO me\r\n",
        b"250-mail.example.com\r\n250-SIZE 1\r\n250 AUTH PLAIN LOGIN\r\n",
        settings={"capabilities": (b"SIZE 1",)},
    ),
    Case(
        "capabilities without auth",
        b"EHLO me\r\n",
        b"250-mail.example.com\r\n250-SIZE 1\r\n250 DSN\r\n",
        settings=NONE | {"capabilities": (b"SIZE 1", b"DSN")},
    ),
    Case("no capabilities at all", b"EHLO me\r\n", HELO, settings=NONE),
    Case(
        "all mechanisms",
        b"EHLO me\r\n",
        EHLO.replace(b"LOGIN", b"LOGIN CRAM-MD5 EXTERNAL"),
        settings={"auth": ALL_METHODS | AuthMethod.NONE},
    ),
    Case("noop and rset", b"NOOP\r\nNOOP x y\r\nRSET\r\nRSET x\r\n", OK * 4),
    Case("quit", b"QUIT x\r\nNOOP\r\n", BYE, end=OVER),
    Case("auth needs no helo", b"AUTH PLAIN AHUAcA==\r\n", NO, [plain(b"u", b"p")]),
    Case("auth may be tried again", b"AUTH PLAIN AHUAcA==\r\n" * 2, NO * 2, [plain(b"u", b"p")] * 2),
    Case("auth alone", b"AUTH\r\nAUTH \r\n", ARGUMENT * 2),
    Case("pipelining", b"EHLO me\r\nNOOP\r\nRSET\r\nQUIT\r\n", EHLO + OK * 2 + BYE, end=OVER),
    Case("more commands than the buffer holds", b"NOOP\r\n" * 60, OK * 60, settings={"client_buffer": 32}),
]

REFUSALS = [
    Case("known, never answered, not counted", b"HELP\r\nVRFY x\r\nEXPN y\r\n" * 3, INVALID * 9),
    Case(
        "commands of the next state",
        b"DATA\r\nBDAT 5 LAST\r\nhelloXCLIENT ADDR=::1\r\nETRN x\r\nTURN\r\n",
        INVALID * 5,
        log=[TOO_MANY],
        end=OVER,
    ),
    Case(
        "a chunk that holds commands",
        b"BDAT 38 LAST\r\nRSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nNOOP\r\n",
        INVALID + OK,
        settings=NONE,
    ),
    Case(
        "more octets than the buffer holds",
        b"BDAT 38 LAST\r\nRSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nNOOP\r\n",
        INVALID,
        end=OVER,
        settings=NONE | {"client_buffer": 32},
    ),
    Case("a chunk without a count", b"BDAT LAST\r\nNOOP\r\n", INVALID, end=OVER),
    Case("an empty line", b"\r\nNOOP\r\n", INVALID + OK),
    Case("a leading space", b" NOOP\r\n", INVALID),
    Case("CR in a sender", b"MAIL FROM:<a\rX@b>\r\nNOOP\r\n", INVALID + OK, settings=NONE),
    Case("twelve arguments", b"MAIL" + b" x" * 12 + b"\r\n", INVALID, settings=NONE),
    Case("eleven arguments", b"MAIL" + b" x" * 11 + b"\r\n", OK, settings=NONE),
    Case("five of them", b"XYZ\r\n" * 6, INVALID * 5, log=[TOO_MANY], end=OVER),
    Case(
        "a too long line",
        b"NOOP\r\nHELO " + b"x" * 60,
        OK + INVALID,
        log=['client sent too long command "HELO ' + "x" * 27 + '"'],
        end=OVER,
        settings={"client_buffer": 32},
    ),
    Case("starttls where it is off", b"STARTTLS\r\n", INVALID),
]

MAILS = [
    Case(
        "authentication is required",
        MAIL + b"\r\nNOOP\r\n" + RCPT + b"\r\n",
        AUTHENTICATE + OK + SEQUENCE,
        log=['client was rejected: "MAIL FROM:<a@b>__"'],
    ),
    Case(
        "a rejected mail cannot forge a log line",
        b'MAIL "\x1b\\\r\n',
        AUTHENTICATE,
        log=[r'client was rejected: "MAIL \x22\x1B\x5C__"'],
    ),
    Case(
        "a helo of words is the name",
        b"EHLO LaserJet  4 \r\n%b\r\n%b\r\n" % (MAIL, RCPT),
        HELO + OK + NO,
        [envelope(b"LaserJet 4", MAIL, RCPT)],
        settings=NONE,
    ),
    Case("mail and rcpt", MAIL + b"\r\n" + RCPT + b"\r\n", OK + NO, [envelope(b"", MAIL, RCPT)], settings=NONE),
    Case(
        "verbatim, up to the last argument",
        b"EHLO me\r\nmail  x  y  \r\nRcpt  z\n",
        HELO + OK + NO,
        [envelope(b"me", b"mail  x  y", b"Rcpt  z")],
        settings=NONE,
    ),
    Case(
        "the last helo counts",
        b"EHLO me\r\nHELO you\r\n" + MAIL + b"\r\n" + RCPT + b"\r\n",
        HELO * 2 + OK + NO,
        [envelope(b"you", MAIL, RCPT)],
        settings=NONE,
    ),
    Case("a second mail", MAIL + b"\r\n" + MAIL + b"\r\n", OK + SEQUENCE, settings=NONE),
    Case("mail without an argument", b"MAIL\r\n" + RCPT + b"\r\n", ARGUMENT + SEQUENCE, settings=NONE),
    Case("mail with NUL", b"MAIL FROM:<a\0@b>\r\n" + RCPT + b"\r\n", ARGUMENT + SEQUENCE, settings=NONE),
    Case("rcpt first", RCPT + b"\r\n", SEQUENCE, settings=NONE),
    Case("rcpt without an argument", MAIL + b"\r\nRCPT\r\n", OK + ARGUMENT, settings=NONE),
    Case(
        "rcpt with NUL",
        MAIL + b"\r\nRCPT TO:<\0>\r\n" + RCPT + b"\r\n",
        OK + ARGUMENT + NO,
        [envelope(b"", MAIL, RCPT)],
        settings=NONE,
    ),
    Case(
        "a second rcpt after a refused one",
        MAIL + b"\r\n" + (RCPT + b"\r\n") * 2,
        OK + NO * 2,
        [envelope(b"", MAIL, RCPT)] * 2,
        settings=NONE,
    ),
    Case(
        "the mail stays in spite of an invalid command",
        MAIL + b"\r\nXYZ\r\n" + RCPT + b"\r\n",
        OK + INVALID + NO,
        [envelope(b"", MAIL, RCPT)],
        settings=NONE,
    ),
] + [
    Case(
        f"{line.decode()} clears the sender",
        MAIL + b"\r\n" + line + b"\r\n" + RCPT + b"\r\n",
        OK + heard + SEQUENCE,
        settings=NONE,
    )
    for line, heard in ((b"RSET", OK), (b"HELO me", HELO), (b"EHLO me", HELO))
]

STARTTLS = [
    Case("offered", b"EHLO me\r\n", b"250-mail.example.com\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n", settings=ON),
    Case("demanded", b"EHLO me\r\n", b"250-mail.example.com\r\n250 STARTTLS\r\n", settings=ONLY),
    Case(
        "demanded before login",
        b"AUTH\r\nAUTH PLAIN\r\nAUTH PLAIN AHUAcA==\r\nAUTH LOGIN\r\n",
        INVALID * 4,
        settings=ONLY,
    ),
    Case(
        "demanded before mail",
        MAIL + b"\r\n" + RCPT + b"\r\n",
        AUTHENTICATE + SEQUENCE,
        log=['client was rejected: "MAIL FROM:<a@b>__"'],
        settings=ONLY | NONE,
    ),
    Case("ehlo afterwards", b"STARTTLS\r\n", GO_AHEAD + EHLO, said_in_tls=b"EHLO me\r\n", settings=ONLY),
    Case(
        "login afterwards",
        b"STARTTLS x\r\n",
        GO_AHEAD + NO,
        [plain(b"u", b"p")],
        said_in_tls=b"AUTH PLAIN AHUAcA==\r\n",
        settings=ONLY,
    ),
    Case("not twice", b"STARTTLS\r\n", GO_AHEAD + INVALID, said_in_tls=b"STARTTLS\r\n", settings=ON),
    Case(
        "drops what was sent in clear",
        b"STARTTLS\r\nEHLO evil\r\nMAIL F",
        GO_AHEAD + OK,
        said_in_tls=b"NOOP\r\n",
        settings=ON,
    ),
    Case(
        "forgets helo and sender",
        b"EHLO me\r\n" + MAIL + b"\r\nSTARTTLS\r\n",
        b"250-mail.example.com\r\n250 STARTTLS\r\n" + OK + GO_AHEAD + SEQUENCE + OK + NO,
        [envelope(b"", MAIL, RCPT)],
        said_in_tls=RCPT + b"\r\n" + MAIL + b"\r\n" + RCPT + b"\r\n",
        settings=ON | NONE,
    ),
]


CASES = [*COMMANDS, *REFUSALS, *MAILS, *STARTTLS]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_dialogues(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    check("smtp", case, monkeypatch)


def test_the_greeting_comes_at_once_without_a_delay() -> None:
    stream = MemoryStream()
    converse(server_of("smtp", {}), stream)
    assert stream.output == b"220 mail.example.com ESMTP ready\r\n"


@pytest.mark.parametrize(
    ("said", "helo", "esmtp"),
    [
        (b"", b"", False),
        (b"HELO a\r\n", b"a", False),
        (b"EHLO a\r\n", b"a", True),
        (b"EHLO a\r\nHELO b\r\n", b"b", True),
        (b"EHLO a\r\nEHLO\r\n", b"a", True),
    ],
)
def test_a_login_carries_the_last_helo_and_whether_there_was_an_ehlo(said: bytes, helo: bytes, esmtp: bool) -> None:
    auth, sender = b"AUTH PLAIN AHUAcA==\r\n", b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\n"
    outcome = converse(server_of("smtp", NONE), MemoryStream(said + auth + sender))
    assert outcome.told == [(b"", helo, esmtp)] * 2


def test_an_ehlo_that_another_server_has_heard_counts() -> None:
    earlier = dialogue_of("smtp", MemoryStream(b"EHLO me\r\nQUIT\r\n"))
    assert run(next_request(earlier)) is None
    dialogue = dialogue_of("smtp", MemoryStream(AUTH_PLAIN))
    dialogue.follow(earlier)
    request = run(next_request(dialogue))
    assert isinstance(request, Login)
    assert (request.helo, request.esmtp) == (b"", True)
