"""Setters of directives that only store a value: the draft's field of the same name takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from mailworker.config import values
from mailworker.config.command import Setter
from mailworker.config.drafts import UNSET
from mailworker.config.tree import Parser

V = TypeVar("V")


def claim(parser: Parser, kind: type[object]) -> None:
    """Refuse a directive that its block has already seen."""
    if getattr(parser.scope.draft(kind), parser.words[0]) is not UNSET:
        raise parser.error(f'"{parser.words[0]}" directive is duplicate')


def string(kind: type[object]) -> Setter:
    """One word as it stands."""
    return _single(kind, lambda parser: parser.words[1])


def flag(kind: type[object]) -> Setter:
    """`on` or `off`."""
    return _single(kind, read_flag)


def number(kind: type[object]) -> Setter:
    """A plain decimal number."""
    return _valued(kind, values.number, "number")


def size(kind: type[object]) -> Setter:
    """Bytes."""
    return _valued(kind, values.size, "value")


def offset(kind: type[object]) -> Setter:
    """Bytes, gigabytes allowed."""
    return _valued(kind, values.offset, "value")


def milliseconds(kind: type[object]) -> Setter:
    """A time that may be given down to milliseconds, kept in seconds."""
    return _valued(kind, values.milliseconds, "value")


def seconds(kind: type[object]) -> Setter:
    """A time in whole seconds."""
    return _valued(kind, values.seconds, "value")


def choice(kind: type[object], table: Mapping[str, object]) -> Setter:
    """One word of `table`."""
    return _single(kind, lambda parser: _row(parser, table, parser.words[1]))


def bitmask(kind: type[object], table: Mapping[str, V]) -> Setter:
    """A set of words of `table`, kept as a tuple; the directive may be repeated."""

    def set_bits(parser: Parser) -> None:
        bits = _present(parser, kind)
        for word in parser.words[1:]:
            bit = _row(parser, table, word)
            if bit in bits:
                parser.warn(f'duplicate value "{word}"')
            else:
                bits = (*bits, bit)
        setattr(parser.scope.draft(kind), parser.words[0], bits)

    return set_bits


def words(kind: type[object]) -> Setter:
    """Any number of words; the directive may be repeated."""
    return _appending(kind, lambda parser: tuple(parser.words[1:]))


def pairs(kind: type[object]) -> Setter:
    """A name and a value; the directive may be repeated."""
    return _appending(kind, lambda parser: ((parser.words[1], parser.words[2]),))


def read_flag(parser: Parser) -> bool:
    """The directive's `on` or `off`."""
    value = values.flag(parser.words[1])
    if value is None:
        name, word = parser.words
        raise parser.error(f'invalid value "{word}" in "{name}" directive, it must be "on" or "off"')
    return value


def _valued(kind: type[object], read: Callable[[str], object | None], noun: str) -> Setter:
    def checked(parser: Parser) -> object:
        value = read(parser.words[1])
        if value is None:
            raise parser.error(f'"{parser.words[0]}" directive invalid {noun}')
        return value

    return _single(kind, checked)


def _single(kind: type[object], read: Callable[[Parser], object]) -> Setter:
    def set_value(parser: Parser) -> None:
        claim(parser, kind)
        setattr(parser.scope.draft(kind), parser.words[0], read(parser))

    return set_value


def _appending(kind: type[object], read: Callable[[Parser], tuple[object, ...]]) -> Setter:
    def append(parser: Parser) -> None:
        setattr(parser.scope.draft(kind), parser.words[0], _present(parser, kind) + read(parser))

    return append


def _present(parser: Parser, kind: type[object]) -> tuple[object, ...]:
    value = getattr(parser.scope.draft(kind), parser.words[0])
    return () if value is UNSET else tuple(value)


def _row(parser: Parser, table: Mapping[str, V], word: str) -> V:
    value = values.choice(word, table)
    if value is None:
        raise parser.error(f'invalid value "{word}"')
    return value
