"""The shapes in which clients say a password or token, rightly and wrongly, and the states in which they do."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.security.speech import IMAP, POP3, SMTP, Speech

SECRET = b"KanarienVogel7"


def base64_of(value: bytes) -> bytes:
    return base64.b64encode(value)


PLAIN = base64_of(b"\0bob\0" + SECRET)
WORD = base64_of(SECRET)
TOKEN = base64_of(b"user=bob\1auth=Bearer " + SECRET + b"\1\1")
BEARER = base64_of(b"n,a=bob,\1auth=Bearer " + SECRET + b"\1\1")
DIGEST = base64_of(b"bob " + SECRET)


def spellings() -> set[bytes]:
    """The secret as it is, and in base64 wherever it begins."""
    return {SECRET.lower(), *(base64_of(b"x" * before + SECRET)[2 * before : -4].lower() for before in range(3))}


def reveals(line: str) -> bool:
    """Whether a record of the log holds the secret, in letters of any size."""
    return any(spelling in line.lower().encode() for spelling in spellings())


SHAPES: tuple[bytes, ...] = (
    b"a LOGIN bob " + SECRET,
    b"a  LOGIN bob " + SECRET,
    b"a   LOGIN   bob   " + SECRET,
    b" a LOGIN bob " + SECRET,
    b"a\tLOGIN\tbob\t" + SECRET,
    b"\ta\t LOGIN bob " + SECRET,
    b"a LOGIN\tbob " + SECRET,
    b"LOGIN bob " + SECRET,
    b" LOGIN bob " + SECRET,
    b"\tLOGIN bob " + SECRET,
    b"a LoGiN bob " + SECRET,
    b"a login bob " + SECRET.upper(),
    b'a LOGIN "bob" "' + SECRET + b'"',
    b'a LOGIN "bob" "' + SECRET,
    b'a LOGIN"bob""' + SECRET,
    b"a LOGIN bob {14}\r\n" + SECRET,
    b"a LOGIN bob {14+}\r\n" + SECRET,
    b"a LOGIN {3}\r\nbob {14}\r\n" + SECRET,
    b"a LOGIN {3+}\r\nbob {14+}\r\n" + SECRET,
    b"a LOGIN {3+}\nbob " + SECRET,
    b"a LOGIN bob {99999999}\r\n" + SECRET,
    b"a FOO {14+}\r\n" + SECRET,
    b"a FOO {3+}\r\nbob " + SECRET,
    b"a+b LOGIN bob " + SECRET,
    b'"a" LOGIN bob ' + SECRET,
    b"\xe9\xff LOGIN bob " + SECRET,
    b"a" * 70 + b" LOGIN bob " + SECRET,
    b"a1 NOOP\r\na2 LOGIN bob " + SECRET,
    b"a AUTHENTICATE PLAIN " + PLAIN,
    b"a AUTHENTICATE PLAIN\r\n" + PLAIN,
    b"a  AUTHENTICATE\tPLAIN " + PLAIN,
    b"a AUTHENTICATE LOGIN " + PLAIN,
    b"a AUTHENTICATE LOGIN\r\nYm9i\r\n" + WORD,
    b"a AUTHENTICATE XOAUTH2 " + TOKEN,
    b"a AUTHENTICATE EXTERNAL " + PLAIN,
    b"AUTH PLAIN " + PLAIN,
    b" AUTH PLAIN " + PLAIN,
    b"\tAUTH\tPLAIN\t" + PLAIN,
    b"AUTH  PLAIN  " + PLAIN,
    b"auth plain " + PLAIN,
    b"AUTH PLAIN\r\n" + PLAIN,
    b"AUTH PLAIN =\r\n" + PLAIN,
    b"AUTH LOGIN " + PLAIN,
    b"AUTH LOGIN\r\nYm9i\r\n" + WORD,
    b"AUTH LOGIN\r\n" + TOKEN,
    b"AUTH CRAM-MD5\r\n" + PLAIN,
    b"AUTH CRAM-MD5\r\n" + WORD,
    b"AUTH EXTERNAL " + TOKEN,
    b"AUTH XOAUTH2 " + TOKEN,
    b"AUTH XOAUTH2\r\n" + PLAIN,
    b"AUTH OAUTHBEARER " + BEARER,
    b"AUTH GSSAPI " + PLAIN,
    b"EHLO me\r\nAUTH PLAIN " + PLAIN,
    b"NOOP\r\n" + PLAIN,
    b"USER bob\r\nPASS " + SECRET,
    b"USER bob\r\n  PASS " + SECRET,
    b"USER bob\r\nPASS\t" + SECRET,
    b"USER bob\r\npass " + SECRET,
    b"USER bob\r\nPASS:" + SECRET,
    b"USER bob\r\nPASS" + SECRET,
    b"PASS " + SECRET,
    b"APOP bob " + SECRET,
    b"APOP  bob\t" + SECRET,
    SECRET,
    WORD,
    PLAIN,
    TOKEN,
    DIGEST,
    b"bob " + SECRET,
    b"GET /?password=" + SECRET + b" HTTP/1.1\r\nAuthorization: Basic " + PLAIN,
    b"\x16\x03\x01\x02\x00" + SECRET,
    b"\0" + SECRET,
)

# Taken for the name that some mechanisms ask for.
NAME_LIKE = frozenset({WORD, DIGEST})

# What stands behind a shape: the end of a line, and more than any buffer holds.
LINE, TOO_LONG = b"\r\n", b"x" * 20_000


@dataclass(frozen=True, slots=True)
class State:
    """What a client of `variant` has said before, if anything; `greeted` is False where it speaks before its greeting.

    `named` says that a name is asked for.
    """

    name: str
    variant: str = "every"
    said: Callable[[Speech], bytes] | None = None
    greeted: bool = True
    tls: bool = False
    named: bool = False

    def said_with(self, ends: tuple[bytes, ...]) -> Iterator[bytes]:
        """Every shape with every one of `ends`."""
        for shape in SHAPES:
            if not (self.named and shape in NAME_LIKE):
                yield from (shape + end for end in ends)


def _authenticating(*lines: bytes) -> Callable[[Speech], bytes]:
    return lambda speech: speech.auth + b" " + b"\r\n".join([*lines, b""])


STATES = (
    State("greeted"),
    State("encrypted", tls=True),
    State("before TLS that is demanded", "only"),
    State("in PLAIN", said=_authenticating(b"PLAIN")),
    State("asked for a name", said=_authenticating(b"LOGIN"), named=True),
    State("asked for a password", said=_authenticating(b"LOGIN", b"Ym9i")),
    State("in CRAM-MD5", said=_authenticating(b"CRAM-MD5")),
    State("in EXTERNAL", said=_authenticating(b"EXTERNAL"), named=True),
    State("in XOAUTH2", said=_authenticating(b"XOAUTH2")),
    State("refused", said=_authenticating(b"PLAIN", b"AHUAcA==")),
    State("behind a refusal", "every", lambda speech: speech.plain(b"\0u\0p\0")),
    State("before a PROXY header", "behind", greeted=False),
    State("behind a PROXY header", "behind", lambda _speech: b"PROXY UNKNOWN\r\n", greeted=False),
    State("before the greeting", "patient", greeted=False),
)

SPECIAL: dict[Speech, State] = {
    IMAP: State("in a literal", said=lambda _speech: b"a LOGIN {3+}\r\nbob"),
    POP3: State("behind USER", said=lambda _speech: b"USER bob\r\n"),
    SMTP: State("behind MAIL", said=lambda _speech: b"EHLO me\r\nMAIL FROM:<>\r\n"),
}
