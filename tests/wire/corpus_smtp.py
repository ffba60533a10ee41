"""SMTP: what clients send, and what the parser makes of it."""

from __future__ import annotations

from mailworker.wire.smtp import SmtpCommand, SmtpVerb
from tests.wire.corpus import Case, Event, Invalid, Response, TooLong

AUTH, EHLO, MAIL, RCPT = SmtpVerb.AUTH, SmtpVerb.EHLO, SmtpVerb.MAIL, SmtpVerb.RCPT
NOOP = SmtpCommand(SmtpVerb.NOOP, (), b"NOOP")
AUTH_PLAIN = SmtpCommand(AUTH, (b"PLAIN",), b"AUTH PLAIN")


def _one(data: bytes, *events: Event) -> Case:
    return Case(data, events)


def command(verb: SmtpVerb, line: bytes, *arguments: bytes) -> SmtpCommand:
    return SmtpCommand(verb, arguments, line)


VERBS = [_one(verb.value + b"\r\n", command(verb, verb.value)) for verb in SmtpVerb] + [
    _one(b"noop\n", command(SmtpVerb.NOOP, b"noop")),
    _one(b"NOOP  \r\n", NOOP),
    _one(b"StartTls\r\n", command(SmtpVerb.STARTTLS, b"StartTls")),
    _one(b"EHLO mx.example\r\n", command(EHLO, b"EHLO mx.example", b"mx.example")),
    _one(b"EHLO   a   b  \r\n", command(EHLO, b"EHLO   a   b", b"a", b"b")),
    _one(b"HELO x\n", command(SmtpVerb.HELO, b"HELO x", b"x")),
    _one(b"AUTH PLAIN AHUAcA==\r\n", command(AUTH, b"AUTH PLAIN AHUAcA==", b"PLAIN", b"AHUAcA==")),
    _one(
        b"NOOP 1 2 3 4 5 6 7 8 9 10 11\r\n",
        command(SmtpVerb.NOOP, b"NOOP 1 2 3 4 5 6 7 8 9 10 11", *b"1 2 3 4 5 6 7 8 9 10 11".split()),
    ),
    _one(b"NOOP 1 2 3 4 5 6 7 8 9 10 11 12\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"NOOP\r\n" * 900, *[NOOP] * 900),
    _one(b"", *()),
    _one(b"NOOP", *()),
    _one(b"NOOP\r", *()),
]

ENVELOPES = [
    _one(b"MAIL FROM:<a@b>\r\n", command(MAIL, b"MAIL FROM:<a@b>", b"FROM:<a@b>")),
    _one(
        b"mail  from: <a@b>  SIZE=4  \r\n", command(MAIL, b"mail  from: <a@b>  SIZE=4", b"from:", b"<a@b>", b"SIZE=4")
    ),
    _one(b"MAIL FROM:<>\n", command(MAIL, b"MAIL FROM:<>", b"FROM:<>")),
    _one(b"RCPT TO:<\xc3\xa9@b>\r\n", command(RCPT, b"RCPT TO:<\xc3\xa9@b>", b"TO:<\xc3\xa9@b>")),
    _one(b'RCPT TO:<"a\tb"@c>\r\n', command(RCPT, b'RCPT TO:<"a\tb"@c>', b'TO:<"a\tb"@c>')),
    _one(b"MAIL FROM:<a\0@b>\r\n", command(MAIL, b"MAIL FROM:<a\0@b>", b"FROM:<a\0@b>")),
    _one(b"MAIL FROM:<a\rX@b>\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"RCPT TO:<a@b>\r\r\n", Invalid()),
    _one(b"EHLO x\ry\r\n", Invalid()),
    _one(
        b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
        command(MAIL, b"MAIL FROM:<a@b>", b"FROM:<a@b>"),
        command(RCPT, b"RCPT TO:<c@d>", b"TO:<c@d>"),
    ),
]

INVALID = [
    _one(b"\r\n", Invalid()),
    _one(b"\n", Invalid()),
    _one(b" NOOP\r\n", Invalid()),
    _one(b"\tNOOP\r\n", Invalid()),
    _one(b"NOOP\t\r\n", Invalid()),
    _one(b"NO\rOP\r\n", Invalid()),
    _one(b"DATA\r\nXCLIENT ADDR=::1\r\n", *[Invalid()] * 2),
    _one(b"NOO\r\nNOOPS\r\nNOOP\r\n", Invalid(), Invalid(), NOOP),
    _one(b"MAIL:x\r\n", Invalid()),
    _one(b"EHL\0 x\r\n", Invalid()),
    _one(b"\xff\xfe\r\n", Invalid()),
    _one(b"FOO {3+}\r\n", Invalid()),
    _one(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *[Invalid()] * 3),
    _one(b"\x16\x03\x01\x02\0\x01\0\n", Invalid()),
]

CHUNKS = [
    _one(b"BDAT 10 LAST\r\nNOOP\r\nRSETNOOP\r\n", Invalid(), NOOP),
    _one(b"bdat 5\nNOOP\nBDAT 0\r\nBDAT 1 last \r\n\nNOOP\r\n", *[Invalid()] * 3, NOOP),
    _one(b"BDAT  0012 \r\nNOOP\r\nNOOP\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"BDAT 7\r\nNOO", Invalid()),
    _one(b"BDAT 4096\r\n" + b"NOOP\r\n" * 700, Invalid(), Invalid(), *[NOOP] * 17),
    *(
        _one(line + b"\r\n", Invalid(close=True))
        for line in (
            b"BDAT",
            b"BDAT ",
            b"BDAT LAST",
            b"BDAT -1",
            b"BDAT +1",
            b"BDAT 1x",
            b"BDAT 1 2",
            b"BDAT 1 LASTS",
            b"BDAT\t1",
            b"BDAT=1",
            b" BDAT 1",
            b"\tbdat 1",
            b"BDAT 1\0",
            b"BDAT 1\rLAST",
            b"BDAT 4097",
            b"BDAT 99999999999999999999999",
        )
    ),
    _one(b"BDATA 1\r\nNOOP\r\n", Invalid(), NOOP),
]

RESPONSES = [
    Case(b"AUTH PLAIN\r\nAHUAcA==\r\nNOOP\r\n", (AUTH_PLAIN, Response(b"AHUAcA=="), NOOP), responses=1),
    Case(b"AUTH PLAIN\r\ndQ==\r\ncA==\n", (AUTH_PLAIN, Response(b"dQ=="), Response(b"cA==")), responses=2),
    Case(b"AUTH PLAIN\r\n*\r\n", (AUTH_PLAIN, Response(b"*")), responses=1),
    Case(b"AUTH PLAIN\r\n\n", (AUTH_PLAIN, Response(b"")), responses=1),
    Case(b"AUTH PLAIN\r\n1 2 3 4 5 6 7 8 9 10 11\r\n", (AUTH_PLAIN, Response(b"1")), responses=1),
    Case(b"AUTH PLAIN\r\n1 2 3 4 5 6 7 8 9 10 11 12\r\nNOOP\r\n", (AUTH_PLAIN, Invalid(), NOOP), responses=1),
    Case(b"AUTH PLAIN\r\nx\ry\r\n", (AUTH_PLAIN, Invalid()), responses=1),
    Case(b"AUTH PLAIN\r\n" + b"x" * 20, (AUTH_PLAIN, TooLong(b"x" * 16)), limit=16, responses=1),
]

BOUNDS = [
    Case(b"NOOP\r\n" * 3, (NOOP,) * 3, limit=6),
    Case(b"NOOP \r\n", (TooLong(b"NOOP \r"),), limit=6),
    Case(b"EHLO " + b"x" * 4089 + b"\r\n", (command(EHLO, b"EHLO " + b"x" * 4089, b"x" * 4089),)),
    Case(b"EHLO " + b"x" * 4090 + b"\r\n", (TooLong(b"EHLO " + b"x" * 4090 + b"\r"),)),
    Case(b"x" * 5000, (TooLong(b"x" * 4096),)),
]

CASES = VERBS + ENVELOPES + INVALID + CHUNKS + RESPONSES + BOUNDS
