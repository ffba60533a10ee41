"""A cache of parsed answers of auth services: an answer with the same bytes is not parsed again.

Only the bytes and their meaning are cached, not the login: the service still decides about each login.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import copy
from typing import NamedTuple

from mailworker.wire.auth_response import (
    KNOWN_HEADERS,
    LENGTH_DIGITS,
    RESPONSE_HEADER_LIMIT,
    Accepted,
    AuthResponseParser,
    InvalidResponse,
    Verdict,
    host_and_port,
)

MOST_ANSWERS = 1000
"""The most answers in the cache; when it is full, it is emptied."""

_BLANK_LINE = b"\r\n\r\n"
_DATE = b"\r\nDate: "
_DATE_LENGTH = 29  # RFC 9110 section 5.6.7, IMF-fixdate
_NUL, _LF, _CR = 0x00, 0x0A, 0x0D

# A valid line whose name begins with another letter than all known headers; see AuthResponseParser.
_UNREAD = re.compile(
    rb"\n[^\W_%b][a-z0-9-]*:[^\r\n\0]*\r(?=\n)" % bytes(sorted({name[0] for name in KNOWN_HEADERS})), re.IGNORECASE
)

# A response that AuthResponseParser takes, too: no line is folded or blank, and nothing follows the header.
_USUAL_HEAD = re.compile(
    rb"HTTP/1\.([01]) 200(?: [ -~\x80-\xff]*)?\r\n((?:[a-z0-9][a-z0-9-]*:[ -~\x80-\xff]*\r\n)*)\r\n", re.IGNORECASE
)
_USED = frozenset(
    (b"auth-status", b"auth-server", b"auth-port", b"auth-user", b"connection", b"content-length", b"transfer-encoding")
)
_LENGTH = re.compile(rb"[0-9]{1,%d}" % LENGTH_DIGITS)

# These make objects without their constructors in Python, which take several times as many instructions: a frozen
# dataclass sets each field by object.__setattr__().
_NEW_TUPLE = tuple.__new__
_SET_ADDRESS: Callable[[Accepted, object], None] = Accepted.__dict__["address"].__set__
_SET_LOGIN: Callable[[Accepted, object], None] = Accepted.__dict__["login"].__set__
_RENAMED = Accepted(None)
_UNCHANGED = Accepted(None)
Accepted.__dict__["unchanged"].__set__(_UNCHANGED, True)

UsualAnswer = tuple[bytes, bytes, bytes | None, int | None]
"""Auth-Server, Auth-Port, Auth-User, and the length of the body, None if the connection cannot be used again."""


class Answer(NamedTuple):
    """A verdict, and the length of the body after it, None if the connection cannot be used again."""

    verdict: Verdict
    body: int | None


def recalled(known: Mapping[bytes, Answer], data: bytes, /) -> Answer | None:
    """The known answer with the same header but for its Date; None for a header that is not known or not complete.

    native/core/answers.c implements it in C, as each login takes this time.
    """
    return known.get(without_date(data)) if data.endswith(_BLANK_LINE) else None


def without_date(data: bytes, /) -> bytes:
    """A header without its Date, which differs in each answer; unchanged if its Date is broken.

    native/core/answers.c implements it in C.
    """
    before, date, behind = data.partition(_DATE)
    if date:
        value, crlf, after = behind.partition(b"\r\n")
        if crlf and len(value) == _DATE_LENGTH and not (_LF in value or _CR in value or _NUL in value):
            return before + crlf + after
    return data


def usual_answer(data: bytes, /) -> UsualAnswer | None:
    """What an answer contains that accepts a login as most do; None for any other, which AuthResponseParser reads.

    A usual answer is a whole header of a 200 with one Auth-Status, which is OK, and with Auth-Server and Auth-Port, but
    no further header of ours except Auth-User. It has no password. The address is still to be checked.
    native/core/answers.c implements it in C.
    """
    head = _USUAL_HEAD.fullmatch(data)
    fields = None if head is None or len(data) > RESPONSE_HEADER_LIMIT else _used(head[2])
    if head is None or fields is None or fields.get(b"auth-status") != b"OK":
        return None
    server, port = fields.get(b"auth-server", b""), fields.get(b"auth-port", b"")
    connection, length = fields.get(b"connection", b"keep-alive").lower(), fields.get(b"content-length", b"0")
    if not server or not port or server[:5].lower() == b"unix:":
        return None
    if connection not in (b"close", b"keep-alive") or not _LENGTH.fullmatch(length):
        return None
    ends = head[1] == b"1" and connection != b"close" and b"content-length" in fields
    body = int(length) if ends and b"transfer-encoding" not in fields else None
    return server, port, fields.get(b"auth-user"), body


def _used(lines: bytes) -> dict[bytes, bytes] | None:
    """The headers that count; None if one comes twice, or if there is another of ours."""
    fields: dict[bytes, bytes] = {}
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in fields or (name not in _USED and name.startswith(b"auth-")):
            return None
        if name in _USED:
            fields[name] = value.strip(b" ")
    return fields


class Reading(NamedTuple):
    """The functions of this module that exist in C, too, and `copied` of event/copies.py."""

    recalled: Callable[[Mapping[bytes, Answer], bytes], Answer | None] = recalled
    usual_answer: Callable[[bytes], UsualAnswer | None] = usual_answer
    without_date: Callable[[bytes], bytes] = without_date
    copied: Callable[[Accepted], Accepted] = copy


class Answers:
    """Reads complete answers; `names` and `nameless` are those of AuthResponseParser.

    `known` is the cache: answers by their headers, see `recalled`.
    """

    __slots__ = ("_nameless", "_names", "_reading", "known")

    def __init__(self, *, names: bool = False, nameless: bool = False, reading: Reading | None = None) -> None:
        self._names = names
        self._nameless = nameless
        self._reading = reading or Reading()
        self.known: dict[bytes, Answer] = {}

    def read(self, data: bytes) -> Answer | None:
        """The answer in `data`, its `body` being the bytes that are still to come; None if the header is incomplete.

        An answer without a body is read anew: `recalled` finds it if it is known. Raises InvalidResponse.
        """
        if data[-4:] == _BLANK_LINE:  # endswith() takes twice as many instructions
            return self._read_header(data)
        header, blank, rest = data.partition(_BLANK_LINE)
        if not blank:
            return None
        data = header + blank
        answer = self._reading.recalled(self.known, data) or self._read_header(data)
        if answer is None or answer.body is None:
            return answer
        missing = answer.body - len(rest)
        return Answer(answer.verdict, missing if missing >= 0 else None)

    def parser(self) -> AuthResponseParser:
        """A parser for an answer that does not come whole."""
        return AuthResponseParser(names=self._names, nameless=self._nameless)

    def _read_header(self, data: bytes) -> Answer | None:
        usual = self._reading.usual_answer(data)
        if usual is None:
            return self._parse(data)
        server, port, login, body = usual
        try:
            address = host_and_port(server, port, self._names)
        except InvalidResponse:
            return self._parse(data)
        verdict = self._reading.copied(_UNCHANGED if login is None else _RENAMED)
        _SET_ADDRESS(verdict, address)
        if login is not None:
            _SET_LOGIN(verdict, login)
        answer = _NEW_TUPLE(Answer, (verdict, body))
        self._remember(self._reading.without_date(data), answer)
        return answer

    def _parse(self, data: bytes) -> Answer | None:
        """Look up the relevant headers alone, and parse them if they are new."""
        counting = _UNREAD.sub(b"", data)
        answer = self.known.get(counting)
        if answer is not None:
            self._remember(self._reading.without_date(data), answer)  # the other headers may be the same next time, too
            return answer
        parser = self.parser()
        parser.feed(data)
        verdict = parser.next()
        if verdict is None or parser.left:  # a line that ends with LF alone was blank
            return None
        answer = Answer(verdict, parser.missing())
        if not parser.tells_password:  # no secret outlives its login
            self._remember(counting, answer)
        return answer

    def _remember(self, data: bytes, answer: Answer) -> None:
        if len(self.known) >= MOST_ANSWERS:
            self.known.clear()
        self.known[data] = answer
