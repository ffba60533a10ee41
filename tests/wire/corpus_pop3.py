"""POP3: what clients send, and what the parser makes of it."""

from __future__ import annotations

from mailworker.wire.pop3 import Pop3Command, Pop3Verb
from tests.wire.corpus import Case, Event, Invalid, Response, TooLong

USER, PASS, APOP, AUTH = Pop3Verb.USER, Pop3Verb.PASS, Pop3Verb.APOP, Pop3Verb.AUTH
NOOP = Pop3Command(Pop3Verb.NOOP)


def _one(data: bytes, *events: Event) -> Case:
    return Case(data, events)


def command(verb: Pop3Verb, *arguments: bytes) -> Pop3Command:
    return Pop3Command(verb, arguments)


VERBS = [
    _one(b"CAPA\r\n", command(Pop3Verb.CAPA)),
    _one(b"QUIT\r\n", command(Pop3Verb.QUIT)),
    _one(b"STLS\r\n", command(Pop3Verb.STLS)),
    _one(b"NOOP\r\n", NOOP),
    _one(b"noop\n", NOOP),
    _one(b"NoOp   \r\n", NOOP),
    _one(b"NOOP a b c\r\n", command(Pop3Verb.NOOP, b"a", b"b", b"c")),
    _one(b"NOOP a b c d\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"APOP u digest\r\n", command(APOP, b"u", b"digest")),
    _one(b"APOP  u   digest  \r\n", command(APOP, b"u", b"digest")),
    _one(b"AUTH\r\n", command(AUTH)),
    _one(b"AUTH PLAIN AHUAcA==\r\n", command(AUTH, b"PLAIN", b"AHUAcA==")),
    _one(b"NOOP\r\n" * 30, *[NOOP] * 30),
    _one(b"", *()),
    _one(b"NOO", *()),
]

PASSWORDS = [
    _one(b"USER joe\r\nPASS secret\r\n", command(USER, b"joe"), command(PASS, b"secret")),
    _one(b"USER joe doe\r\n", command(USER, b"joe doe")),
    _one(b"USER   a  b c d e \r\n", command(USER, b"a  b c d e ")),
    _one(b'PASS  \xff\0%\t"\\{3+} \n', command(PASS, b' \xff\0%\t"\\{3+} ')),
    _one(b"USER\r\n", command(USER)),
    _one(b"USER \r\n", command(USER)),
    _one(b"PASS    \r\n", command(PASS)),
    _one(b"pass x\r\n", command(PASS, b"x")),
    _one(b"PASS a\rb\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"PASS a\r\r\n", Invalid()),
]

INVALID = [
    _one(b"\r\n", Invalid()),
    _one(b"\n", Invalid()),
    _one(b" NOOP\r\n", Invalid()),
    _one(b"NOOP\t\r\n", Invalid()),
    _one(b"NOOPS\r\n", Invalid()),
    _one(b"NOO\r\n", Invalid()),
    _one(b"NO\rOP\r\n", Invalid()),
    _one(b"STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nRSET\r\nTOP 1 0\r\nUIDL\r\n", *[Invalid()] * 7),
    _one(b"XYZZY\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"USER:joe\r\n", Invalid()),
    _one(b"\0\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"\xff\xfe\r\n", Invalid()),
    _one(b"FOO {3+}\r\n", Invalid()),
    _one(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *[Invalid()] * 3),
]

RESPONSES = [
    Case(b"AUTH PLAIN\r\nAHUAcA==\r\nNOOP\r\n", (command(AUTH, b"PLAIN"), Response(b"AHUAcA=="), NOOP), responses=1),
    Case(b"AUTH LOGIN\r\ndQ==\r\ncA==\n", (command(AUTH, b"LOGIN"), Response(b"dQ=="), Response(b"cA==")), responses=2),
    Case(b"AUTH PLAIN\r\n*\r\n", (command(AUTH, b"PLAIN"), Response(b"*")), responses=1),
    Case(b"AUTH PLAIN\r\n\r\n", (command(AUTH, b"PLAIN"), Response(b"")), responses=1),
    Case(b"AUTH PLAIN\r\n a b\r\n", (command(AUTH, b"PLAIN"), Response(b"")), responses=1),
    Case(b"AUTH PLAIN\r\na b c d\r\nNOOP\r\n", (command(AUTH, b"PLAIN"), Invalid(), NOOP), responses=1),
    Case(b"AUTH PLAIN\r\na\r\r\n", (command(AUTH, b"PLAIN"), Invalid()), responses=1),
    Case(b"AUTH PLAIN\r\nabc", (command(AUTH, b"PLAIN"),), responses=1),
    Case(b"AUTH PLAIN\r\n" + b"x" * 20, (command(AUTH, b"PLAIN"), TooLong(b"x" * 16)), limit=16, responses=1),
]

BOUNDS = [
    Case(b"USER " + b"u" * 121 + b"\r\n", (command(USER, b"u" * 121),), limit=128),
    Case(b"USER " + b"u" * 122 + b"\r\n", (TooLong(b"USER " + b"u" * 122 + b"\r"),), limit=128),
    Case(b"NOOP\r\n" * 30, (NOOP,) * 30, limit=128),
    Case(b"NOOP\r\n" * 21 + b"\nNOOP\r\n", (*[NOOP] * 21, Invalid(), NOOP), limit=128),
    Case(b"USER " + b"u" * 200 + b"\r\n", (TooLong(b"USER " + b"u" * 123),), limit=128),
    Case(b"x" * 5000, (TooLong(b"x" * 128),), limit=128),
]

CASES = VERBS + PASSWORDS + INVALID + RESPONSES + BOUNDS
