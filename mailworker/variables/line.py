"""Literals and values side by side, as bytes; native/core/line.c has `Line` in C, for those who write many."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from mailworker.variables.facts import Facts
from mailworker.variables.render import Render
from mailworker.variables.source import Source, Value, asked, finder

_PLAIN: Final = re.compile(rb"[!#$&-\[\]-~]*")


class Slot(NamedTuple):
    """Where a value goes: what stands before and after it, and what takes its place where there is none.

    Without that, all of it is left out. `written` tells how bytes are written that are not all plain, None for as they
    are. Plain are the visible characters of ASCII but for those that one or the other form of output changes: quote,
    backslash and percent sign. `source` tells where the value lies; of a line all slots have one, or none has.
    """

    before: bytes
    after: bytes = b""
    absent: bytes | None = None
    written: Callable[[bytes], bytes] | None = None
    source: Source | None = None


class Line:
    """What stands around values; `last` is what follows all of them."""

    __slots__ = ("_find", "_last", "_slots")

    def __init__(self, slots: Sequence[Slot], last: bytes, /) -> None:
        self._slots = tuple(slots)
        self._find = tuple(finder(slot.source) for slot in self._slots if slot.source is not None)
        self._last = last

    def text(self, *values: Value) -> bytes:
        """The bytes of the line. Raises TypeError unless there is a value for each place."""
        if len(values) != len(self._slots):
            raise TypeError(f"{len(self._slots)} arguments, not {len(values)}")
        return b"".join([*map(_filled, self._slots, values), self._last])

    def of(self, session: Any, /) -> bytes:
        """The same with the values of a session, each from its source."""
        now = time.time()
        return self.text(*(find(session, now) for find in self._find))


def _filled(slot: Slot, value: Value) -> bytes:
    text = slot.absent if value is None else _text(value, slot.written)
    return b"" if text is None else slot.before + text + slot.after


def _text(value: Value, written: Callable[[bytes], bytes] | None) -> bytes:
    if isinstance(value, bytes):
        return value if written is None or _PLAIN.fullmatch(value) else written(value)
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        return b"%.3f" % value
    raise TypeError(f"a {type(value).__name__} is no value of a line")


MakeLine = Callable[[Sequence[Slot], bytes], Line]
"""`Line`, or the one in C."""


class Part(NamedTuple):
    """A value in a text: what stands there where there is none, and how it is written, see `Slot`.

    `source` takes the place of the function.
    """

    evaluate: Callable[[Facts], bytes | None]
    absent: bytes = b""
    written: Callable[[bytes], bytes] | None = None
    source: Source | None = None


def composed(parts: Sequence[bytes | Part], make: MakeLine = Line) -> Render:
    """The function that gives what literals and values come to, side by side."""
    slots, literal = list[Slot](), b""
    for part in parts:
        if isinstance(part, bytes):
            literal += part
            continue
        slots.append(Slot(literal, b"", part.absent, part.written, part.source or asked(part.evaluate)))
        literal = b""
    return make(slots, literal).of
