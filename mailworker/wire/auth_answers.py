"""A cache of parsed answers of auth services: an answer with the same bytes is not parsed again.

Only the bytes and their meaning are cached, not the login: the service still decides about each login.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mailworker.wire.auth_response import KNOWN_HEADERS, AuthResponseParser, Verdict

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


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, and the length of the body after it, None if the connection cannot be used again."""

    verdict: Verdict
    body: int | None


class Answers:
    """Reads complete answers; `names` and `nameless` are those of AuthResponseParser.

    `known` is the cache: answers by their headers, see `recalled`.
    """

    __slots__ = ("_nameless", "_names", "known")

    def __init__(self, *, names: bool = False, nameless: bool = False) -> None:
        self._names = names
        self._nameless = nameless
        self.known: dict[bytes, Answer] = {}

    def read(self, data: bytes) -> Answer | None:
        """The answer in `data`, its `body` being the bytes that are still to come; None if the header is incomplete.

        Raises InvalidResponse.
        """
        if data.endswith(_BLANK_LINE):
            return recalled(self.known, data) or self._recall(data)
        header, blank, rest = data.partition(_BLANK_LINE)
        if not blank:
            return None
        data = header + blank
        answer = recalled(self.known, data) or self._recall(data)
        if answer is None or answer.body is None:
            return answer
        missing = answer.body - len(rest)
        return Answer(answer.verdict, missing if missing >= 0 else None)

    def parser(self) -> AuthResponseParser:
        """A parser for an answer that does not come whole."""
        return AuthResponseParser(names=self._names, nameless=self._nameless)

    def _recall(self, data: bytes) -> Answer | None:
        """Look up the relevant headers alone, and parse them if they are new."""
        counting = _UNREAD.sub(b"", data)
        answer = self.known.get(counting)
        if answer is not None:
            self._remember(without_date(data), answer)  # the other headers may be the same next time, too
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


def recalled(known: Mapping[bytes, Answer], data: bytes, /) -> Answer | None:
    """The known answer with the same header but for its Date; None for a header that is not known or not complete.

    native/core/answers.c implements it in C, as each login takes this time.
    """
    return known.get(without_date(data)) if data.endswith(_BLANK_LINE) else None


def without_date(data: bytes) -> bytes:
    """A header without its Date, which differs in each answer; unchanged if its Date is broken."""
    before, date, behind = data.partition(_DATE)
    if date:
        value, crlf, after = behind.partition(b"\r\n")
        if crlf and len(value) == _DATE_LENGTH and not (_LF in value or _CR in value or _NUL in value):
            return before + crlf + after
    return data
