"""Literals and values side by side, as bytes; native/core/line.c has `Line` in C, for those who write many."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from mailworker.variables.facts import Facts
from mailworker.variables.render import Render

Value = bytes | str | int | float | None
"""Text of our own is a `str`, of others it is bytes; a number with a fraction has three decimals."""

_PLAIN: Final = re.compile(rb"[!#$&-\[\]-~]*")


class Slot(NamedTuple):
    """Where a value goes: what stands before and after it, and what takes its place where there is none.

    Without that, all of it is left out. `written` tells how bytes are written that are not all plain, None for as they
    are. Plain are the visible characters of ASCII but for those that one or the other form of output changes: quote,
    backslash and percent sign.
    """

    before: bytes
    after: bytes = b""
    absent: bytes | None = None
    written: Callable[[bytes], bytes] | None = None


class Line:
    """What stands around values; `last` is what follows all of them."""

    __slots__ = ("_last", "_slots")

    def __init__(self, slots: Sequence[Slot], last: bytes, /) -> None:
        self._slots = tuple(slots)
        self._last = last

    def text(self, *values: Value) -> bytes:
        """The bytes of the line. Raises TypeError unless there is a value for each place."""
        if len(values) != len(self._slots):
            raise TypeError(f"{len(self._slots)} arguments, not {len(values)}")
        return b"".join([*map(_filled, self._slots, values), self._last])


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

    `inline` is an expression of `facts` that takes the place of the function.
    """

    evaluate: Callable[[Facts], bytes | None]
    absent: bytes = b""
    written: Callable[[bytes], bytes] | None = None
    inline: str | None = None


NOTHING: Final[Mapping[str, object]] = {}


def composed(parts: Sequence[bytes | Part], known: Mapping[str, object] = NOTHING, make: MakeLine = Line) -> Render:
    """The function that gives what literals and values come to, side by side; `known` is what `inline` may use.

    It is one expression, see `joined`.
    """
    names, slots, values, literal = dict(known), list[Slot](), list[str](), b""
    for part in parts:
        if isinstance(part, bytes):
            literal += part
            continue
        values.append(part.inline or f"value{len(slots)}(facts)")
        names[f"value{len(slots)}"] = part.evaluate
        slots.append(Slot(literal, b"", part.absent, part.written))
        literal = b""
    names["text"] = make(slots, literal).text
    return cast("Render", eval(f"lambda facts: text({', '.join(f'({value})' for value in values)})", names))
