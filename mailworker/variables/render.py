"""Functions that give a text, made of literals and of functions that give values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from mailworker.variables.facts import Facts

Render = Callable[[Facts], bytes]
"""The text that a template comes to. Raises ProtocolError where a regular expression takes too long."""


NOTHING: Final[Mapping[str, object]] = {}


class Part(NamedTuple):
    """A value in a text: what stands there where there is none, and how it is written, None for as it is.

    Where `special` gives None, it is written as it is, too; that spares a call. `inline` is an expression of `facts`
    that takes the place of the function, and of what is written.
    """

    evaluate: Callable[[Facts], bytes | None]
    absent: bytes = b""
    written: Callable[[bytes], bytes] | None = None
    inline: str | None = None
    special: Callable[[bytes], object] | None = None


def joined(parts: Sequence[bytes | Render]) -> Render:
    """The function that gives what literals and functions come to, side by side."""
    if len(parts) == 1 and not isinstance(parts[0], bytes):
        return parts[0]
    return composed([part if isinstance(part, bytes) else Part(part) for part in parts])


def composed(parts: Sequence[bytes | Part], known: Mapping[str, object] = NOTHING) -> Render:
    """The function that gives what literals and values come to, side by side; `known` is what `inline` may use.

    It is one expression, made as `collections.namedtuple` makes its methods: a loop over functions takes the
    interpreter several times as long. Nothing in its text comes from the configuration. Bytes are Latin-1 meanwhile.
    """
    names = dict(known)
    form, values = "", []
    for number, part in enumerate(parts):
        if isinstance(part, bytes):
            form += part.decode("latin-1").replace("%", "%%")
            continue
        form += "%s"
        absent = part.absent.decode("latin-1")
        names |= {f"value{number}": part.evaluate, f"written{number}": part.written, f"absent{number}": absent}
        if part.inline is not None:
            values.append(f"absent{number} if (found := {part.inline}) is None else found")
            continue
        written = "found" if part.written is None else f"written{number}(found)"
        if part.written is not None and part.special is not None:
            names[f"special{number}"] = part.special
            written = f"(found if special{number}(found) is None else {written})"
        values.append(f"absent{number} if (found := value{number}(facts)) is None else {written}.decode('latin-1')")
    names["form"] = form
    source = f"lambda facts: (form % ({''.join(f'({value}), ' for value in values)})).encode('latin-1')"
    return cast("Render", eval(source, names))
