"""Replies of a ManageSieve server during login (RFC 5804): capabilities, responses and SASL challenges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mailworker.wire.backend import TLS_FIRST, InvalidReply, LoginRejected, Reply
from mailworker.wire.quoted import unescaped
from mailworker.wire.refusal import Reason, Refusal
from mailworker.wire.reply_reader import ReplyReader

_STRING = re.compile(rb'"([^"\\\r\n]*(?:\\.[^"\\\r\n]*)*)"|\{([0-9]{1,10})\+?\}\r\n')
_EMPTY = (b"{0}", b"{0+}")
_STATUS = re.compile(rb"(OK|NO|BYE)(?=[ \r])", re.IGNORECASE)
_CODE_NAME = re.compile(rb' ?([^\0-\x20\x7f-\xff(){"\\]+)')
# The other bytes of a response code.
_OTHERS = re.compile(rb'[^(){"]+')
_BLANKS = re.compile(rb"[\0-\x20]+")

# Codes that concern the proxy's own way to log in; a client cannot do anything about them.
_UNFIT = (b"AUTH-TOO-WEAK", b"ENCRYPT-NEEDED")
_WRONG = (b"", b"AUTHENTICATIONFAILED", b"AUTHFAILED")
_OUTDATED = b"TRANSITION-NEEDED"
# RFC 5804's, and the counterpart of IMAP's LIMIT (RFC 5530).
_FOR_NOW = (b"TRYLATER", b"LIMIT")


class Response(NamedTuple):
    """The last line of a reply: OK, NO or BYE, the name of a response code, and the text, each maybe empty."""

    status: bytes
    code: bytes = b""
    text: bytes = b""


class LoginOffer(NamedTuple):
    """What a greeting says about logins: its SASL mechanisms, None if it lists none, and whether it has STARTTLS."""

    mechanisms: frozenset[bytes] | None
    starttls: bool

    def obstacle(self, mechanism: bytes) -> str | None:
        """Why the backend gets no password by this mechanism, else None. Cyrus lists none if it requires TLS."""
        if self.mechanisms is None:
            return TLS_FIRST if self.starttls else None
        return None if mechanism in self.mechanisms else f"upstream does not offer AUTHENTICATE {mechanism.decode()}"


class SieveReply(Reply):
    """A reply that is judged by the words of ManageSieve."""

    __slots__ = ()

    @property
    def refuses(self) -> bool:
        """See `Reply`: NO or BYE."""
        response = parse(self)
        return response is not None and response.status != b"OK"

    @property
    def refuses_for_now(self) -> bool:
        """See `Reply`: a code of _FOR_NOW, or BYE, but not because of a password in an old form."""
        response = parse(self)
        if response is None or response.status == b"OK":
            return False
        by_bye = response.status == b"BYE" and response.code != _OUTDATED
        return by_bye or response.code.partition(b"/")[0] in _FOR_NOW


class SieveReplyReader(ReplyReader):
    """Reads replies: the greeting, in TLS too, is capabilities up to OK; a later line with a string is a challenge.

    Literals belong to their lines, and empty lines before a reply are ignored.
    """

    kind = SieveReply

    __slots__ = ()

    def renew(self) -> bool:
        self._replies = 0
        return False

    def next(self) -> Reply | None:
        while self._line == 0 and self.unread.startswith(b"\r\n"):
            self._take(2)
        return super().next()

    def _is_last(self, line: bytes) -> bool:
        return bool(self._replies) or line[:1] not in (b'"', b"{")

    def _literal(self, buffer: bytes, crlf: int, /) -> int | None:
        length = self._announced(buffer, crlf)
        # Stalwart's empty challenge is a literal without a line end after it.
        is_empty_challenge = length == 0 and self._replies and buffer[self._line : crlf] in _EMPTY
        return None if is_empty_challenge else length


def parse(reply: Reply) -> Response | None:
    """The response that ends a reply; None for a challenge, and for invalid replies."""
    position = _listed(reply.data)[1]
    return None if position is None else _response(reply.data, position)


def capabilities(reply: Reply) -> dict[bytes, bytes]:
    """The capabilities of a list, by their names in capitals."""
    return _listed(reply.data)[0]


def login_offer(greeting: bytes) -> LoginOffer:
    """The offer of a greeting. Raises InvalidReply, see `expect_list`."""
    reply = SieveReply(greeting)
    expect_list(reply)
    listed = capabilities(reply)
    offered = listed.get(b"SASL")
    return LoginOffer(None if offered is None else frozenset(offered.upper().split()), b"STARTTLS" in listed)


def challenge(reply: Reply) -> bytes | None:
    """The content of a SASL challenge; None if the reply is no challenge."""
    found = _string(reply.data, 0)
    if found is None:
        return None
    value, position = found
    return value if reply.data[position:] in (b"", b"\r\n") else None


def expect_list(reply: Reply) -> None:
    """Raises InvalidReply unless the reply is a list of capabilities that ends with OK."""
    response = parse(reply)
    if response is None or response.status != b"OK":
        raise InvalidReply(reply, reply.last_line)


def expect_ok(reply: Reply) -> None:
    """Raises InvalidReply unless the command succeeded."""
    response = _response(reply.data, 0)
    if response is None or response.status != b"OK":
        raise InvalidReply(reply, reply.data[:-2])


def expect_login(reply: Reply) -> None:
    """Raises LoginRejected unless the login succeeded, without a referral to another server."""
    response = _response(reply.data, 0)
    if response is None or response.status != b"OK" or response.code == b"REFERRAL":
        raise LoginRejected(reply, reply.data[:-2])


def refusal(reply: Reply) -> Refusal:
    """The refusal in a reply to AUTHENTICATE."""
    response = _response(reply.data, 0)
    if response is None or response.status == b"OK":
        return Refusal(Reason.TEMPORARY)
    code = response.code
    if code.partition(b"/")[0] == b"REFERRAL":
        return Refusal(Reason.TEMPORARY)
    if code in _UNFIT:
        return Refusal(Reason.MISCONFIGURED)
    if response.status == b"BYE" and code != _OUTDATED:
        return Refusal(Reason.TEMPORARY)
    if code in _WRONG:
        return Refusal(Reason.LOGIN)
    return Refusal(Reason.OTHER, b"(%b) %b" % (code, response.text))


def _listed(data: bytes) -> tuple[dict[bytes, bytes], int | None]:
    """The capabilities at the beginning, and the position after them; None if the last one does not end a line."""
    found, position = dict[bytes, bytes](), 0
    while (capability := _capability(data, position)) is not None:
        name, value, position = capability
        found[name.upper()] = value
        if data[position : position + 2] != b"\r\n":
            return found, None
        position += 2
    return found, position


def _capability(data: bytes, position: int) -> tuple[bytes, bytes, int] | None:
    """Name and value, maybe empty, of the capability at `position`, and its end; None if there is none."""
    found = _string(data, position)
    if found is None:
        return None
    name, end = found
    if data[end : end + 1] != b" ":
        return name, b"", end
    value = _string(data, end + 1)
    return None if value is None else (name, *value)


def _string(data: bytes, position: int) -> tuple[bytes, int] | None:
    """The string at `position` and its end; None if there is none."""
    match = _STRING.match(data, position)
    if match is None:
        return None
    if match[2] is None:
        return unescaped(match[1]), match.end()
    end = match.end() + int(match[2])
    return (data[match.end() : end], end) if end <= len(data) else None


def _response(data: bytes, position: int) -> Response | None:
    status = _STATUS.match(data, position)
    if status is None:
        return None
    word, position = status[1].upper(), status.end()
    code = text = b""
    if data[position : position + 2] == b" (":
        name = _CODE_NAME.match(data, position + 2)
        code = b"" if name is None else name[1].upper()
        position = _end_of_code(data, position + 1)
    if data[position : position + 1] == b" ":
        found = _string(data, position + 1)
        text = b"" if found is None else _BLANKS.sub(b" ", found[0])
    return Response(word, code, text)


def _end_of_code(data: bytes, position: int) -> int:
    """The position after the parenthesis that closes the one at `position`; parentheses in strings do not count."""
    depth = 0
    for mark, end in _marks(data, position):
        depth += {b"(": 1, b")": -1}.get(mark, 0)
        if not depth:
            return end
    return len(data)


def _marks(data: bytes, position: int) -> Iterator[tuple[bytes, int]]:
    while position < len(data):
        mark = data[position : position + 1]
        found = _string(data, position) if mark in (b'"', b"{") else None
        others = _OTHERS.match(data, position)
        if found is not None:
            position = found[1]
        elif others is not None:
            position = others.end()
        else:
            position += 1
        yield mark, position
