"""Lines that peers usually say, and what they hear; native/core/reply.c and stream.c have it in C.

A peer that says such a line gets its answer without a call of anybody, and is heard further.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

NOTHING: Final = 0
"""The argument of a line that ends behind its start."""
WORD: Final = 1
"""One word, of printable ASCII."""
BASE64: Final = 2
"""One word in base64, with its padding."""

_ARGUMENTS = (
    re.compile(rb"\r\n"),
    re.compile(rb"[!-~]+\r\n"),
    re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)\r\n"),
)


class Choice(NamedTuple):
    """A line that comes whole, in one read and alone.

    It begins with `start`, which is in capitals and may come in any case, and ends behind an argument of the kind
    `argument`. `answer` is said to it, and `choices` are the lines that may come then.
    """

    start: bytes
    argument: int
    answer: bytes
    choices: Choices


Choices = tuple[Choice, ...]
"""Of which the first counts that fits; none where whatever comes is for the caller."""


def chosen(choices: Choices, words: bytes) -> Choice | None:
    """The choice that a peer has made by its `words`; None for no such line."""
    return next((choice for choice in choices if _fits(words, choice)), None)


def _fits(words: bytes, choice: Choice) -> bool:
    length = len(choice.start)
    if words[:length].upper() != choice.start:
        return False
    return _ARGUMENTS[choice.argument].fullmatch(words, length) is not None
