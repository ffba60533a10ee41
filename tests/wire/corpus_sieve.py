"""ManageSieve: what clients send, and what the parser makes of it."""

from __future__ import annotations

from mailworker.wire.sieve import SieveCommand, SieveVerb
from tests.wire.corpus import Case, Event, Invalid, Response, TooLong

AUTHENTICATE = SieveVerb.AUTHENTICATE
NOOP = SieveCommand(SieveVerb.NOOP)
CLOSE = Invalid(close=True)


def _one(data: bytes, *events: Event) -> Case:
    return Case(data, events)


def command(verb: SieveVerb, *arguments: bytes) -> SieveCommand:
    return SieveCommand(verb, arguments)


VERBS = [
    *(_one(verb.value + b"\r\n", command(verb)) for verb in SieveVerb),
    _one(b"noop\n", NOOP),
    _one(b"NoOp   \r\n", NOOP),
    _one(b'NOOP "x"\r\n', command(SieveVerb.NOOP, b"x")),
    _one(b'NOOP   "x"  ""\r\n', command(SieveVerb.NOOP, b"x", b"")),
    _one(b'HAVESPACE "x" 100\r\n', command(SieveVerb.HAVESPACE, b"x", b"100")),
    _one(b'AUTHENTICATE "PLAIN" "AHUAcA=="\r\n', command(AUTHENTICATE, b"PLAIN", b"AHUAcA==")),
    _one(b'authenticate "PLAIN" ""\r\n', command(AUTHENTICATE, b"PLAIN", b"")),
    _one(b"NOOP\r\n" * 30, *[NOOP] * 30),
    _one(b"", *()),
    _one(b"NOO", *()),
]

STRINGS = [
    _one(b'NOOP "a\\"b\\\\c"\r\n', command(SieveVerb.NOOP, b'a"b\\c')),
    _one('NOOP "ä"\r\n'.encode(), command(SieveVerb.NOOP, "ä".encode())),
    _one(b'NOOP "{3+}"\r\n', command(SieveVerb.NOOP, b"{3+}")),
    _one(b"NOOP {3+}\r\nabc\r\n", command(SieveVerb.NOOP, b"abc")),
    _one(b"NOOP {3}\r\nabc\r\n", command(SieveVerb.NOOP, b"abc")),
    _one(b"NOOP {0+}\r\n\r\nNOOP\r\n", command(SieveVerb.NOOP, b""), NOOP),
    _one(b"NOOP {6+}\r\na\r\nb\r\n\r\n", command(SieveVerb.NOOP, b"a\r\nb\r\n")),
    _one(b"NOOP {1+}\r\na {1+}\r\nb\r\n", command(SieveVerb.NOOP, b"a", b"b")),
    _one(b'AUTHENTICATE {5+}\r\nPLAIN "eA=="\r\n', command(AUTHENTICATE, b"PLAIN", b"eA==")),
    _one(b'AUTHENTICATE "PLAIN" {8+}\r\nAHUAcA==\r\n', command(AUTHENTICATE, b"PLAIN", b"AHUAcA==")),
    _one(b'AUTHENTICATE "PLAIN" "%b"\r\n' % (b"A" * 1025), command(AUTHENTICATE, b"PLAIN", b"A" * 1025)),
    _one(b'PUTSCRIPT "x" {5+}\r\nkeep;\r\nNOOP\r\n', command(SieveVerb.PUTSCRIPT, b"x", b"keep;"), NOOP),
]

INVALID = [
    *(_one(data + b"\r\nNOOP\r\n", Invalid(), NOOP) for data in (b"", b" NOOP", b"NOOP\t", b"NOOPS", b"5", b'"NOOP"')),
    *(_one(data + b"\r\nNOOP\r\n", Invalid(), NOOP) for data in (b"NOOP x", b"NOOP 5", b"NOOP (", b"NO\rOP", b"\xff")),
    *(_one(b'NOOP "%b"\r\nNOOP\r\n' % text, Invalid(), NOOP) for text in (b"\0", b"a\rb", b"\\a", b"\\", b'a"b')),
    _one(b'NOOP "a\r\nNOOP\r\n', Invalid(), NOOP),
    _one(b'NOOP "a""b"\r\nNOOP\r\n', Invalid(), NOOP),
    _one(b"NOOP {3+}\r\na\0b\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b'NOOP {3+}\r\nabc"x"\r\nNOOP\r\n', Invalid(), NOOP),
    _one(b"NOOP {3+}\r\nabcNOOP\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"FOO {6+}\r\nNOOP\r\n\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"NOOP x {6+}\r\nNOOP\r\n\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b'NOOP "a {6+}\r\nNOOP\r\n\r\nNOOP\r\n', Invalid(), NOOP),
    _one(b"FOO {06}\r\nNOOP\r\n {6+}\r\nNOOP\r\n\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"NOOP {+}\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"NOOP {-1+}\r\nNOOP\r\n", Invalid(), NOOP),
    _one(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *[Invalid()] * 3),
    _one(b"NOOP {4294967296+}\r\n", CLOSE),
    _one(b"NOOP {4294967295+}\r\nNOOP\r\n", CLOSE, NOOP),
    _one(b"NOOP {99999999999999999999+}\r\n", CLOSE),
    Case(b"NOOP {%b+}\r\n" % (b"9" * 6000), (CLOSE,), limit=8192),
    _one(b"FOO {4096}\r\n", CLOSE),
]

PLAIN, LOGIN = command(AUTHENTICATE, b"PLAIN"), command(AUTHENTICATE, b"LOGIN")
RESPONSES = [
    Case(b'AUTHENTICATE "PLAIN"\r\n"AHU="\r\nNOOP\r\n', (PLAIN, Response(b"AHU="), NOOP), responses=1),
    Case(
        b'AUTHENTICATE "LOGIN"\r\n"dQ=="\r\n{4+}\r\ncA==\r\n',
        (LOGIN, Response(b"dQ=="), Response(b"cA==")),
        responses=2,
    ),
    *(
        Case(b'AUTHENTICATE "PLAIN"\r\n"%b"\r\n' % text, (PLAIN, Response(text)), responses=1)
        for text in (b"*", b"", b"=")
    ),
    *(
        Case(b'AUTHENTICATE "PLAIN"\r\n%b\r\nNOOP\r\n' % text, (PLAIN, Invalid(), NOOP), responses=1)
        for text in (b"AHUAcA==", b"*", b"", b'"a" "b"', b'"a', b"{1+}\r\n\0")
    ),
    Case(b'AUTHENTICATE "PLAIN"\r\n"abc', (PLAIN,), responses=1),
]

BOUNDS = [
    Case(b'NOOP "' + b"x" * 119 + b'"\r\n', (command(SieveVerb.NOOP, b"x" * 119),), limit=128),
    Case(b'NOOP "' + b"x" * 120 + b'"\r\n', (TooLong(b'NOOP "' + b"x" * 120 + b'"\r'),), limit=128),
    Case(b"NOOP {64+}\r\n" + b"x" * 62 + b"\r\n\r\n", (command(SieveVerb.NOOP, b"x" * 62 + b"\r\n"),), limit=80),
    Case(b"NOOP {64+}\r\n" + b"x" * 64 + b"abcdef", (TooLong(b"NOOP {64+}\r\n" + b"x" * 64 + b"abcd"),), limit=80),
    Case(b"NOOP {68+}\r\nNOOP\r\n", (CLOSE, NOOP), limit=80),
    Case(b"NOOP\r\n" * 30, (NOOP,) * 30, limit=128),
]

CASES = [*VERBS, *STRINGS, *INVALID, *RESPONSES, *BOUNDS]
