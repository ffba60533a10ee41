"""Setters of directives that only store a value: the draft's field of the same name takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from mailworker.config import values
from mailworker.config.command import Setter
from mailworker.config.drafts import UNSET
from mailworker.config.tree import Parser
from mailworker.config.values import Bounds

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


def number(kind: type[object], bounds: Bounds) -> Setter:
    """A plain decimal number."""
    return _single(kind, lambda parser: _bounded(parser, values.number, "number", bounds))


def size(kind: type[object], bounds: Bounds) -> Setter:
    """Bytes."""
    return _single(kind, lambda parser: _bounded(parser, values.size, "value", bounds))


def offset(kind: type[object], bounds: Bounds) -> Setter:
    """Bytes, gigabytes allowed."""
    return _single(kind, lambda parser: _bounded(parser, values.offset, "value", bounds))


def milliseconds(kind: type[object]) -> Setter:
    """A time that may be given down to milliseconds, kept in seconds."""
    return _time(kind, values.milliseconds)


def seconds(kind: type[object]) -> Setter:
    """A time in whole seconds."""
    return _time(kind, values.seconds)


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


def within(parser: Parser, value: int, bounds: Bounds) -> int:
    """The value, if `bounds` allow it (ngx_conf_check_num_bounds)."""
    if not bounds.allow(value):
        raise parser.error(f"value must be between {bounds.least} and {bounds.most}")
    return value


def _bounded(parser: Parser, read: Callable[[str], int | None], noun: str, bounds: Bounds) -> int:
    return within(parser, _read(parser, read, noun), bounds)


def _time(kind: type[object], read: Callable[[str], V | None]) -> Setter:
    return _single(kind, lambda parser: _read(parser, read, "value"))


def _read(parser: Parser, read: Callable[[str], V | None], noun: str) -> V:
    value = read(parser.words[1])
    if value is None:
        raise parser.error(f'"{parser.words[0]}" directive invalid {noun}')
    return value


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
