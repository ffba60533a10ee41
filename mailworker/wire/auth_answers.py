"""A cache of parsed answers of auth services: an answer whose headers are known is not parsed again.

Only the headers that count and their meaning are cached, without a name or a password: the service still decides about
each login.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import copy
from typing import NamedTuple

from mailworker.wire.auth_response import KNOWN_HEADERS, Accepted, AuthResponseParser, Verdict
from mailworker.wire.response_body import Body, rest
from mailworker.wire.secret import Secret

MOST_ANSWERS = 1000
"""The most answers in the cache; when it is full, it is emptied."""

_BLANK_LINE = b"\r\n\r\n"
_TOLD = {b"auth-user": b"\0user", b"auth-pass": b"\0pass"}

# A valid line whose name begins with another letter than all known headers; see AuthResponseParser.
_UNREAD = re.compile(
    rb"[^\W_%b][a-z0-9-]*:[^\r]*\r?" % bytes(sorted({name[0] for name in KNOWN_HEADERS})), re.IGNORECASE
)

# A copy whose fields are set takes a tenth of the instructions of a constructor in Python.
_NEW_TUPLE = tuple.__new__
_SET_LOGIN: Callable[[Verdict, object], None] = Accepted.__dict__["login"].__set__
_SET_PASSWORD: Callable[[Verdict, object], None] = Accepted.__dict__["password"].__set__


class Answer(NamedTuple):
    """A verdict, and the body after it, None if the connection cannot be used again."""

    verdict: Verdict
    body: Body | None


class Counting(NamedTuple):
    """The parts of a header that decide the verdict: its `lines` without the values of Auth-User and Auth-Pass.

    These values are `login` and `password`, None if the header is absent.
    """

    lines: bytes
    login: bytes | None
    password: bytes | None


Tell = Callable[[Answer, bytes | None, bytes | None], Answer]
"""Copies an answer, with other values of Auth-User and Auth-Pass."""


def counting(data: bytes, /) -> Counting | None:
    """The parts of a header that decide the verdict; None if it is incomplete, or contains NUL, which is invalid.

    native/wire/answers.c implements it in C, as each login takes this time.
    """
    if b"\0" in data or not data.endswith(_BLANK_LINE):
        return None
    status, *headers = data.split(b"\n")
    lines, told = [status], dict.fromkeys(_TOLD, None)
    for line in headers:
        name, _, value = line.removesuffix(b"\r").partition(b":")
        name = name.lower()
        if name in _TOLD and b"\r" not in value:
            lines.append(_TOLD[name])
            told[name] = value.strip(b" ")
        elif not _UNREAD.fullmatch(line):
            lines.append(line)
    return Counting(b"\n".join(lines), *told.values())


def recalled(known: Mapping[bytes, Answer], data: bytes, tell: Tell, /) -> Answer | None:
    """The known answer to the same deciding lines, with this header's name and password by `tell`; else None.

    native/wire/answers.c implements it in C.
    """
    found = counting(data)
    answer = None if found is None else known.get(found.lines)
    if found is None or answer is None or found.login is found.password is None:
        return answer
    return tell(answer, found.login, found.password)


class Reading(NamedTuple):
    """The functions of this module that exist in C, too, and `copied` of event/copies.py."""

    counting: Callable[[bytes], Counting | tuple[bytes, bytes | None, bytes | None] | None] = counting
    recalled: Callable[[Mapping[bytes, Answer], bytes, Tell], Answer | None] = recalled
    copied: Callable[[Verdict], Verdict] = copy


class Answers:
    """Reads complete answers; `names` and `nameless` are those of AuthResponseParser.

    `known` is the cache: answers by the lines that decide them, without the name and the password that they gave.
    """

    __slots__ = ("_copied", "_counting", "_nameless", "_names", "_recalled", "known")

    def __init__(self, *, names: bool = False, nameless: bool = False, reading: Reading | None = None) -> None:
        self._names = names
        self._nameless = nameless
        self._counting, self._recalled, self._copied = reading or Reading()
        self.known: dict[bytes, Answer] = {}

    def read(self, data: bytes) -> Answer | None:
        """The answer in `data`, its `body` being what is still to come; None if the header is incomplete.

        Raises InvalidResponse.
        """
        header, blank, begun = data.partition(_BLANK_LINE)
        if not blank:
            return None
        answer = self._recalled(self.known, header + blank, self.tell) or self._parse(header + blank)
        return answer if answer is None else Answer(answer.verdict, rest(answer.body, begun))

    def parser(self) -> AuthResponseParser:
        """A parser for an answer that does not come whole."""
        return AuthResponseParser(names=self._names, nameless=self._nameless)

    def tell(self, answer: Answer, login: bytes | None, password: bytes | None) -> Answer:
        """A copy of an answer that accepts a login, with another name and, unless it is None, another password."""
        verdict, body = answer
        verdict = self._copied(verdict)
        _SET_LOGIN(verdict, login)
        if password is not None:
            _SET_PASSWORD(verdict, Secret(password))
        return _NEW_TUPLE(Answer, (verdict, body))

    def _parse(self, data: bytes) -> Answer | None:
        parser = self.parser()
        parser.feed(data)
        verdict = parser.next()
        if verdict is None or parser.left:  # a line that ends with LF alone was blank
            return None
        answer = Answer(verdict, parser.missing())
        self._remember(data, answer)
        return answer

    def _remember(self, data: bytes, answer: Answer) -> None:
        found = self._counting(data)
        assert found is not None  # as it was parsed
        lines, login, password = found
        if len(self.known) >= MOST_ANSWERS:
            self.known.clear()
        if login is None and password is None:
            self.known[lines] = answer
        elif isinstance(answer.verdict, Accepted):  # no secret outlives its login
            self.known[lines] = forgetful = self.tell(answer, None, None)
            _SET_PASSWORD(forgetful.verdict, None)
