"""Lines that peers usually send, and the answers to them; native/core/exchange.c has it in C.

A peer that sends such a line gets its answer without a call of the session; then its next line is read.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

NOTHING: Final = 0
"""The kind of a line that has no argument: it ends after its start."""
WORD: Final = 1
"""The kind of an argument that is one word of printable ASCII."""
BASE64: Final = 2
"""The kind of an argument that is one word in base64, with its padding."""

_ARGUMENTS = (
    re.compile(rb"\r\n"),
    re.compile(rb"[!-~]+\r\n"),
    re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)\r\n"),
)


class Choice(NamedTuple):
    """A line that comes whole, in one read and alone.

    It begins with `start`, which is in capitals here and may come in any case, and ends after an argument of the kind
    `argument`. `answer` is the reply to it, and `choices` are the lines that may come next.
    """

    start: bytes
    argument: int
    answer: bytes
    choices: Choices


Choices = tuple[Choice, ...]
"""The first one that fits counts; an empty tuple leaves whatever comes to the caller."""


def chosen(choices: Choices, words: bytes) -> Choice | None:
    """The choice that fits what a peer has sent; None if none fits."""
    return next((choice for choice in choices if _fits(words, choice)), None)


def _fits(words: bytes, choice: Choice) -> bool:
    length = len(choice.start)
    if words[:length].upper() != choice.start:
        return False
    return _ARGUMENTS[choice.argument].fullmatch(words, length) is not None
