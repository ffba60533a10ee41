"""Common types of values (ngx_conf_set_*_slot)."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Final, TypeVar

from mailworker.config import values
from mailworker.config.drafts import UNSET
from mailworker.config.rows import Value
from mailworker.config.tree import Parser, c_string
from mailworker.config.values import Bounds
from mailworker.model import Level

V = TypeVar("V")
E = TypeVar("E", bound=Enum)


def once(read: Callable[[Parser], V]) -> Callable[[Parser, object], V]:
    """A `take` by `read` that refuses a second directive in the same block."""

    def take(parser: Parser, earlier: object) -> V:
        if earlier is not UNSET:
            raise parser.error(f'"{parser.words[0]}" directive is duplicate')
        return read(parser)

    return take


def repeated(read: Callable[[Parser], tuple[V, ...]]) -> Callable[[Parser, tuple[V, ...]], tuple[V, ...]]:
    """A `take` that adds the result of `read` to the values of the block."""
    return lambda parser, earlier: present(earlier) + read(parser)


def present(earlier: tuple[V, ...]) -> tuple[V, ...]:
    """The values so far, () for UNSET."""
    return () if earlier is UNSET else earlier


def _read_flag(parser: Parser) -> bool:
    name, word = parser.words
    value = values.choice(word, {"on": True, "off": False})
    if value is None:
        raise parser.error(f'invalid value "{word}" in "{name}" directive, it must be "on" or "off"')
    return value


def within(parser: Parser, value: int, bounds: Bounds) -> int:
    """The value, if `bounds` allow it (ngx_conf_check_num_bounds)."""
    if not bounds.allow(value):
        raise parser.error(f"value must be between {bounds.least} and {bounds.most}")
    return value


def read_choice(parser: Parser, table: Mapping[str, V], word: str) -> V:
    """The value of `word` in `table`; raises ConfigError for another word."""
    value = values.choice(word, table)
    if value is None:
        raise parser.error(f'invalid value "{word}"')
    return value


def user_id(parser: Parser, name: str) -> int:
    """The id of a user. Raises ConfigError."""
    try:
        return pwd.getpwnam(c_string(name)).pw_uid
    except KeyError:
        raise parser.error(f'getpwnam("{name}") failed') from None


def group_id(parser: Parser, name: str) -> int:
    """The id of a group. Raises ConfigError."""
    try:
        return grp.getgrnam(c_string(name)).gr_gid
    except KeyError:
        raise parser.error(f'getgrnam("{name}") failed') from None


def _read(parser: Parser, read: Callable[[str], V | None], noun: str = "value") -> V:
    value = read(parser.words[1])
    if value is None:
        raise parser.error(f'"{parser.words[0]}" directive invalid {noun}')
    return value


STRING: Final = Value(once(lambda parser: parser.words[1]))
"""One word."""

FLAG: Final = Value(once(_read_flag), lambda on: "on" if on else "off")
"""`on` or `off` in any case of letters."""

MILLISECONDS: Final = Value(once(lambda parser: _read(parser, values.milliseconds)), values.spell_time)
"""A time with milliseconds, kept in seconds."""

SECONDS: Final = Value(once(lambda parser: _read(parser, values.seconds)), values.spell_time)
"""A time in whole seconds."""

WORDS: Final = Value(repeated(lambda parser: tuple(parser.words[1:])), " ".join)
"""Any number of words; the directive may be repeated."""

PAIRS: Final = Value(repeated(lambda parser: ((parser.words[1], parser.words[2]),)))
"""A name and a value; the directive may be repeated."""


def number(bounds: Bounds) -> Value[int]:
    """A decimal number."""
    return Value(once(lambda parser: within(parser, _read(parser, values.number, "number"), bounds)))


def size(bounds: Bounds) -> Value[int]:
    """A size in bytes."""
    return Value(once(lambda parser: within(parser, _read(parser, values.size), bounds)), values.spell_size)


def offset(bounds: Bounds) -> Value[int]:
    """A size in bytes that may be given in gigabytes."""
    return Value(once(lambda parser: within(parser, _read(parser, values.offset), bounds)), values.spell_size)


def choice(table: Mapping[str, V]) -> Value[V]:
    """One word of `table`."""
    return Value(once(lambda parser: read_choice(parser, table, parser.words[1])), lambda value: _words(table, [value]))


def member(kind: type[E]) -> Value[E]:
    """The value of a member of an enumeration."""
    return choice({str(each.value): each for each in kind})


LIMIT_LEVEL: Final = choice(
    {level.name.lower(): level for level in (Level.INFO, Level.NOTICE, Level.WARN, Level.ERROR)}
)
"""The level of the lines about a limit."""


def bitmask(table: Mapping[str, V]) -> Value[tuple[V, ...]]:
    """A set of words of `table`, kept as a tuple; the directive may be repeated."""

    def take(parser: Parser, earlier: tuple[V, ...]) -> tuple[V, ...]:
        bits = present(earlier)
        for word in parser.words[1:]:
            bit = read_choice(parser, table, word)
            if bit in bits:
                parser.warn(f'duplicate value "{word}"')
            else:
                bits = (*bits, bit)
        return bits

    return Value(take, lambda bits: _words(table, bits))


def _words(table: Mapping[str, V], given: Iterable[V]) -> str:
    names = {value: name for name, value in table.items()}
    return " ".join(names[value] for value in given)
