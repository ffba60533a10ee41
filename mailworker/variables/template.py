"""Texts with variables, parsed once when the configuration is read (ngx_stream_compile_complex_value)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_NAME = re.compile(rb"[A-Za-z0-9_]*")


class BadTemplate(ValueError):
    """The text is not a valid template; the message is nginx's."""


@dataclass(frozen=True, slots=True)
class Name:
    """A variable in a text: its name in lower case, as nginx compares names, and its original spelling."""

    name: str
    written: bytes


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of a text. `where` is its position in the configuration, None if it has none."""

    parts: tuple[bytes | Name, ...]
    where: str | None = None

    @property
    def names(self) -> Iterator[str]:
        """The variables in the text, each as often as it occurs."""
        return (part.name for part in self.parts if isinstance(part, Name))

    @property
    def only(self) -> str | None:
        """The name of the variable that is the whole template, None for any other template."""
        (part,) = self.parts if len(self.parts) == 1 else (b"",)
        return part.name if isinstance(part, Name) else None

    @property
    def constant(self) -> bytes | None:
        """The text of a template without variables, None if there are variables."""
        return None if any(self.names) else b"".join(part for part in self.parts if isinstance(part, bytes))


def parse(text: bytes, where: str | None = None) -> Template:
    """Parse a text; raises BadTemplate."""
    return Template(tuple(merged(_parts(text, _refuse))), where)


def parse_leniently(text: bytes, known: Callable[[str], bool], where: str | None = None) -> Template:
    """Parse a text in which "$" is literal unless a `known` name follows."""

    def parts() -> Iterator[bytes | Name]:
        for part in _parts(text, lambda message: None):
            yield part.written if isinstance(part, Name) and not known(part.name) else part

    return Template(tuple(merged(parts())), where)


def _refuse(message: str) -> None:
    raise BadTemplate(message)


def _parts(text: bytes, on_error: Callable[[str], None]) -> Iterator[bytes | Name]:
    position = 0
    while (dollar := text.find(b"$", position)) >= 0:
        yield text[position:dollar]
        start = dollar + 1
        bracket = text[start : start + 1] == b"{"
        if text[start : start + 1] in (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"):
            name, position = text[start : start + 1], start + 1  # a capture has one digit
        else:
            match = _NAME.match(text, start + bracket)
            assert match is not None
            name, position = match[0], match.end()
        if bracket and text[position : position + 1] != b"}":
            if position >= len(text) and not name:
                on_error("invalid variable name")
            on_error(f'the closing bracket in "{name.decode()}" variable is missing')
            name, position = b"", start
        elif bracket:
            position += 1
        if not name:
            on_error("invalid variable name")
            yield text[dollar:position]
        else:
            yield Name(name.decode().lower(), text[dollar:position])
    yield text[position:]


def merged(parts: Iterator[bytes | Name]) -> Iterator[bytes | Name]:
    """The parts with adjacent literals joined, and without empty ones."""
    literal = b""
    for part in parts:
        if isinstance(part, bytes):
            literal += part
            continue
        if literal:
            yield literal
            literal = b""
        yield part
    if literal:
        yield literal
