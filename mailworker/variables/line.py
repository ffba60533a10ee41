"""Lines of literals and values, as bytes; native/variables/line.c has `Line` in C, for callers with many lines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from mailworker.variables.facts import Render
from mailworker.variables.source import Find, Source, Value, finder

_PLAIN: Final = re.compile(rb"[!#$&-\[\]-~]*")


class Slot(NamedTuple):
    """The place of a value: the text before and after it, and the text for an absent value.

    If that is None, the whole slot is left out for an absent value. `written` escapes values that are not all plain,
    None does not escape. Plain characters are visible ASCII except quote, backslash and percent sign. `source` is the
    source of the value, which every slot of a Line has.
    """

    before: bytes
    after: bytes = b""
    absent: bytes | None = None
    written: Callable[[bytes], bytes] | None = None
    source: Source | None = None


class Line:
    """The literals around values; `last` is the text after the last value.

    Raises TypeError for a slot without a source.
    """

    __slots__ = ("_last", "_slots")

    def __init__(self, slots: Sequence[Slot], last: bytes, /) -> None:
        self._slots = tuple(map(_with_finder, slots))
        self._last = last

    def of(self, session: Any, /) -> bytes:
        """The line with the values of a session, each from its source."""
        now = time.time()
        return b"".join([*(_filled(slot, find(session, now)) for slot, find in self._slots), self._last])


def _with_finder(slot: Slot) -> tuple[Slot, Find]:
    if slot.source is None:
        raise TypeError("a value has no source")
    return slot, finder(slot.source)


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
"""`Line`, or its implementation in C."""


def composed(parts: Iterable[bytes | Slot], make: MakeLine = Line) -> Render:
    """The function that renders literals and values; the literals before a slot become its `before`."""
    slots, literal = list[Slot](), b""
    for part in parts:
        if isinstance(part, bytes):
            literal += part
            continue
        slots.append(part._replace(before=literal))
        literal = b""
    return make(slots, literal).of
