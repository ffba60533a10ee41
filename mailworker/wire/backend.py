"""A backend's replies during login, and the commands that log in.

Keywords are case-insensitive (RFC 9051 section 9, RFC 1939 section 3, RFC 5321 section 2.4); a tag is not.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from dataclasses import dataclass
from sys import maxsize
from typing import Final, NamedTuple

from mailworker.errors import Party, ProtocolError, escape
from mailworker.wire.quoted import quoted
from mailworker.wire.secret import Secret

# The codes are those of RFC 2449 section 8.1 and RFC 3206 section 4.
_REFUSAL = re.compile(rb"-ERR\b|[45]\d\d(?=[ -]|\Z)", re.IGNORECASE)
_REFUSAL_FOR_NOW = re.compile(rb"-ERR \[(?:IN-USE|LOGIN-DELAY|SYS/TEMP)\]|4\d\d(?=[ -]|\Z)", re.IGNORECASE)
# A tag may be any word, even "450" or "-ERR". The codes are those of RFC 5530 section 3.
_IMAP_REFUSAL = re.compile(rb"\* BYE\b|\S+ NO\b", re.IGNORECASE)
_IMAP_REFUSAL_FOR_NOW = re.compile(rb"\* BYE\b|\S+ NO \[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)[\] ]", re.IGNORECASE)
_IMAP_BAD = re.compile(rb"\S+ BAD\b", re.IGNORECASE)
# RFC 2221; Dovecot's own for POP3 and SMTP (pop3-proxy.c, smtp-dovecot.h).
_REFERRAL = re.compile(
    rb"^(?:\S+ (?:NO|BAD|BYE|OK) \[REFERRAL |-ERR \[REFERRAL/|5\d\d[ -]5\.2\.900\b)", re.IGNORECASE | re.MULTILINE
)
_LINE = re.compile(rb"[\x20-\x7e]*\r\n")
_MECHANISMS = re.compile(rb"\n250[- ]AUTH[ =]([^\r\n]*)\r", re.IGNORECASE)
_IMAP_CAPABILITIES = re.compile(rb"(?:\* OK \[|(?:[^\r\n]*\r\n)*?\* )CAPABILITY ([^]\r\n]*)", re.IGNORECASE)
# Control bytes, except tabs and CRLF.
_NO_TEXT = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")

TLS_FIRST: Final = "upstream offers no login before STARTTLS"
"""The error for a backend that takes passwords over TLS alone."""

FORBIDDEN: Final = "client sent forbidden bytes in login or password"
"""The error for bytes that a command to the backend cannot have."""

IMAP_COMMAND_LIMIT = 1000
"""Most bytes of one command with its literals, as RFC 2683 section 3.2.1.5 advises for lines; Dovecot takes 1,024."""

POP3_COMMAND_LIMIT = 255
"""Most bytes of one command with its CRLF (RFC 2449 section 4; Dovecot takes 1,024)."""

# Most bytes of a line with its CRLF: an SMTP command with an initial response (RFC 5321 section 4.5.3.1.4; Postfix
# takes 2,048), and a response after a go-ahead (RFC 4954 section 4; Postfix, smtpd_sasl_response_limit).
_SMTP_COMMAND_LIMIT = 512
_RESPONSE_LIMIT = 12288


@dataclass(slots=True)
class Reply:
    """One reply, verbatim: `data` ends with CRLF.

    An IMAP reply includes the untagged lines before its last line, an SMTP reply all lines of its code.
    """

    data: bytes

    @property
    def is_text(self) -> bool:
        """Whether the reply is lines of text, which can be quoted to a client; an empty one is not."""
        return not self.data.isspace() and _NO_TEXT.search(self.data) is None

    @property
    def is_quotable(self) -> bool:
        """Whether it may be sent to a client: it is a refusal, as a success would be wrong, and has no referral."""
        return self._denies and self.is_text and _REFERRAL.search(self.data) is None

    @property
    def _denies(self) -> bool:
        """Whether it refuses, or says that the command is wrong."""
        return self.refuses

    @property
    def refuses(self) -> bool:
        """Whether it is a refusal of its protocol: -ERR, or a code that begins with 4 or 5."""
        return _REFUSAL.match(self.last_line) is not None

    @property
    def refuses_for_now(self) -> bool:
        """Whether the refusal is temporary."""
        return _REFUSAL_FOR_NOW.match(self.last_line) is not None

    @property
    def last_line(self) -> bytes:
        """The line that ended the reply, without CRLF."""
        return self.data[:-2].rpartition(b"\r\n")[2]


class ImapReply(Reply):
    """A reply that is judged by the words of IMAP."""

    __slots__ = ()

    @property
    def _denies(self) -> bool:
        return self.refuses or _IMAP_BAD.match(self.last_line) is not None

    @property
    def refuses(self) -> bool:
        """See `Reply`: NO or BYE."""
        return _IMAP_REFUSAL.match(self.last_line) is not None

    @property
    def refuses_for_now(self) -> bool:
        """See `Reply`."""
        return _IMAP_REFUSAL_FOR_NOW.match(self.last_line) is not None


class Known(NamedTuple):
    """The usual replies of a step, complete, in the form of a `Rule`."""

    last: frozenset[bytes] | set[bytes]
    others: None = None


class InvalidReply(ProtocolError):
    """The backend refused, or sent a reply that its protocol does not allow; `reply` can be passed on."""

    def __init__(self, reply: Reply, text: bytes) -> None:
        super().__init__(Party.BACKEND, f'upstream sent invalid response: "{escape(text)}"')
        self.reply = reply
        self.text = text


class LoginRejected(InvalidReply):
    """The backend has refused a login after checking it.

    `challenge` is the reason that XOAUTH2 and OAUTHBEARER give, in base64, None for no reason.
    """

    def __init__(self, reply: Reply, text: bytes, challenge: bytes | None = None) -> None:
        super().__init__(reply, text)
        self.challenge = challenge


class TooLongReply(ProtocolError):
    """A reply does not fit into `proxy_buffer`; `text` is the part that fits."""

    def __init__(self, text: bytes) -> None:
        super().__init__(Party.BACKEND, f'upstream sent too long response line: "{escape(text)}"')
        self.text = text


class Rule(NamedTuple):
    """The form of the reply that a login needs to go on.

    The last line of the usual reply starts with `last`, and the lines before it with `others`, None for no such lines.
    Letters after the `tag` are case-insensitive. A reply that starts with one of `also` is valid, but not usual. With
    `first`, this applies to the first line of the reply instead of the last one. `judges`: the reply answers a password
    or token.
    """

    last: bytes
    others: bytes | None = None
    also: tuple[bytes, ...] = ()
    tag: bytes = b""
    first: bool = False
    judges: bool = False

    def expect(self, reply: Reply) -> None:
        """Check a reply. Raises InvalidReply if it has another form, or LoginRejected if the rule `judges`."""
        line, length = reply.data if self.first else reply.last_line + b"\r\n", len(self.tag)
        start = line[:length] + line[length : len(self.last)].upper()
        if start == self.last or line.startswith(self.also):
            return
        text = line[:-2].removeprefix(self.tag + b" ") if self.tag and not self.also else reply.data[:-2]
        raise (LoginRejected if self.judges else InvalidReply)(reply, text)


# After a greeting of PREAUTH or BYE no login is possible.
IMAP_GREETING: Final = Rule(b"* OK")

# The server waits for a literal, or a response; it may also refuse the login here.
IMAP_CONTINUATION: Final = Rule(b"+", judges=True)

POP3_OK: Final = Rule(b"+OK")

# The server waits for a response (RFC 5034 section 4), with or without a challenge.
POP3_GO_AHEAD: Final = Rule(b"+ ", also=(b"+\r\n",), judges=True)


def imap_ok(tag: bytes, *, judges: bool = False) -> Rule:
    """The rule that the command with `tag` succeeds; an error's text is without the tag, as in nginx."""
    return Rule(tag + b" OK", tag=tag, judges=judges)


def imap_tagged(tag: bytes) -> Rule:
    """The rule that the reply ends the command with `tag`: with OK, which is usual, NO or BAD."""
    return Rule(tag + b" OK", b"* ", also=(tag + b" ",), tag=tag)


def smtp_code(code: bytes, *others: bytes, judges: bool = False) -> Rule:
    """The rule that the reply begins with one of these codes of three digits; the first one is the usual one."""
    return Rule(code + b" ", code + b"-", also=(code, *others), first=True, judges=judges)


def imap_capabilities(reply: bytes) -> frozenset[bytes] | None:
    """The capabilities, in capitals, in the code of a greeting or the answer to CAPABILITY; None for no list."""
    listed = _IMAP_CAPABILITIES.match(reply)
    return None if listed is None else frozenset(listed[1].upper().split())


def smtp_mechanisms(reply: bytes) -> frozenset[bytes]:
    """The SASL mechanisms, in capitals, that a reply to EHLO lists; also in the form of old servers ("AUTH=")."""
    return frozenset(word for words in _MECHANISMS.findall(reply) for word in words.upper().split())


def imap_login(tag: bytes, login: bytes, password: Secret) -> tuple[bytes, bytes, bytes]:
    """LOGIN with literals, in the three pieces that a continuation request separates.

    Raises ProtocolError(CLIENT) for a NUL, which no literal may contain (RFC 9051 section 4.3).
    """
    secret = password.revealed
    pieces = login_pieces(tag, login, secret)
    if pieces is None:
        raise ProtocolError(Party.CLIENT, FORBIDDEN)
    return pieces


def login_pieces(tag: bytes, login: bytes, secret: bytes, most: int = maxsize) -> tuple[bytes, bytes, bytes] | None:
    """See `imap_login`; None if there is a NUL, or if the pieces have more than `most` bytes together.

    native/wire/words.c implements it in C, as each login takes this time.
    """
    if 0 in login or 0 in secret:
        return None
    pieces = b"%b LOGIN {%d}\r\n" % (tag, len(login)), b"%b {%d}\r\n" % (login, len(secret)), secret + b"\r\n"
    return pieces if sum(map(len, pieces)) <= most else None


def login_at_once(tag: bytes, login: bytes, secret: bytes, most: int) -> bytes | None:
    """LOGIN with literals that need not wait (RFC 7888); None for a NUL, and for more than `most` bytes.

    native/wire/words.c implements it in C, as each login takes this time.
    """
    if 0 in login or 0 in secret:
        return None
    command = b"%b LOGIN {%d+}\r\n%b {%d+}\r\n%b\r\n" % (tag, len(login), login, len(secret), secret)
    return command if len(command) <= most else None


def imap_login_line(tag: bytes, login: bytes, password: Secret) -> bytes | None:
    """LOGIN with quoted strings; None if these may not contain a byte (RFC 9051 section 9), or the line is too long."""
    line = b"%b LOGIN %b %b\r\n" % (tag, quoted(login), quoted(password.revealed))
    return line if _LINE.fullmatch(line) and len(line) <= IMAP_COMMAND_LIMIT else None


def pop3_login(login: bytes, password: Secret) -> tuple[bytes, bytes]:
    """USER and PASS.

    Raises ProtocolError(CLIENT) for CR, LF and NUL: the text after them would run as a command. Both are checked
    before the first one can be sent.
    """
    user, line = command_line(b"USER ", login), command_line(b"PASS ", password.revealed)
    if user is None or line is None:
        raise ProtocolError(Party.CLIENT, FORBIDDEN)
    return user, line


def auth_plain(before: bytes, login: bytes, secret: bytes, after: bytes, most: int) -> bytes | None:
    """The response of PLAIN (RFC 4616) in a line, between its other parts.

    None for CR, LF or NUL, which PASS refuses, too, and for more than `most` bytes. native/wire/words.c implements it
    in C, as each login takes this time.
    """
    text = b"\0%b\0%b" % (login, secret)
    if b"\r" in text or b"\n" in text or text.count(b"\0") > 2:
        return None
    command = b"%b%b%b" % (before, b2a_base64(text, newline=False), after)
    return command if len(command) <= most else None


def command_line(verb: bytes, text: bytes) -> bytes | None:
    """The verb and a text of the client's as a line; None if the text contains CR, LF or NUL.

    native/wire/words.c implements it in C, as each login takes this time.
    """
    if 0x00 in text or 0x0A in text or 0x0D in text:
        return None
    return verb + text + b"\r\n"


def smtp_auth_plain(login: bytes, password: Secret, master: bytes | None = None) -> tuple[bytes, ...]:
    """AUTH PLAIN (RFC 4616, RFC 4954): one line, or two if the response is too long for it; see `plain_response`."""
    response = plain_response(login, password, master)
    whole = b"AUTH PLAIN %b" % response
    return (whole,) if len(whole) <= _SMTP_COMMAND_LIMIT else (b"AUTH PLAIN\r\n", response)


def plain_response(login: bytes, password: Secret, master: bytes | None = None) -> bytes:
    """The response of PLAIN (RFC 4616) as a line: for `login`, or for a `master` who acts for `login`.

    Without a master there is no authorization identity, as some servers refuse any. Raises ProtocolError(CLIENT) for a
    NUL, which separates the fields, and if the line gets too long.
    """
    secret = password.revealed
    if 0 in login or 0 in secret:
        raise ProtocolError(Party.CLIENT, FORBIDDEN)
    fields = (b"", login, secret) if master is None else (login, master, secret)
    return _response(b"\0".join(fields))


def login_responses(login: bytes, password: Secret) -> tuple[bytes, bytes]:
    """The two responses of LOGIN. Raises ProtocolError(CLIENT) for a NUL, as PLAIN does, and for too long a line."""
    secret = password.revealed
    if 0 in login or 0 in secret:
        raise ProtocolError(Party.CLIENT, FORBIDDEN)
    return _response(login), _response(secret)


def _response(text: bytes) -> bytes:
    response = b2a_base64(text, newline=False) + b"\r\n"
    if len(response) > _RESPONSE_LIMIT:
        raise ProtocolError(Party.CLIENT, "client sent too long login or password for AUTH")
    return response


def smtp_line(line: bytes) -> bytes:
    """A command with the client's own text: EHLO, HELO, MAIL, RCPT; `line` is given without its end.

    Raises ProtocolError(CLIENT) for CR, LF and NUL.
    """
    command = command_line(b"", line)
    if command is None:
        raise ProtocolError(Party.CLIENT, "client sent CR, LF or NUL in a command")
    return command
