"""Output as text. The server's text is escaped, so that it cannot control a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from mailworker.errors import printable

# The number of first rows that decide about the widths of columns.
_LOOKED_AT: Final = 256
_UNITS: Final = ("", "K", "M", "G", "T", "P")


class Column(NamedTuple):
    """A heading, the key of its value, the function that spells it, and whether it is aligned to the right."""

    heading: str
    key: str
    spell: Callable[[Any], str]
    right: bool = False


def word(value: Any) -> str:
    """A text, "-" if it is empty."""
    return "-" if value is None or value == "" else printable(str(value))


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = int(seconds)
    for size, unit, smaller, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller:02}{rest}"
    return f"{whole}s"


def size(number: float) -> str:
    """Bytes, in units of 1024."""
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            return f"{number:.0f}" if not unit else f"{number:.1f}{unit}"
        number /= 1024
    raise AssertionError


def table(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a table with headings; none without rows."""
    texts = ([column.spell(row.get(column.key)) for column in columns] for row in rows)
    first = [*islice(texts, _LOOKED_AT)]
    if not first:
        return
    headings = [column.heading for column in columns]
    widths = [max(map(len, each)) for each in zip(headings, *first, strict=True)]
    for text in chain([headings], first, texts):
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(text, widths, columns, strict=True)
        )
        yield "  ".join(cells).rstrip()


SESSIONS: Final = (
    Column("id", "id", word),
    Column("user", "user", word),
    Column("proto", "proto", word),
    Column("client", "client", word),
    Column("server", "server", word),
    Column("upstream", "upstream", word),
    Column("state", "state", word),
    Column("age", "age", duration, right=True),
    Column("idle", "idle", duration, right=True),
    Column("in", "in", size, right=True),
    Column("out", "out", size, right=True),
)

CERTIFICATES: Final = (
    Column("days", "days", word, right=True),
    Column("server", "server", word),
    Column("names", "names", lambda names: word(" ".join(names))),
    Column("path", "path", word),
    Column("note", "note", word),
)

WHO: Final = (
    Column("username", "user", word),
    Column("#", "count", word, right=True),
    Column("proto", "proto", word),
    Column("(ips)", "hosts", lambda hosts: word(f"({' '.join(hosts)})")),
)

LIMITS: Final = (
    Column("zone", "zone", word),
    Column("key", "key", word),
    Column("entries", "entries", word, right=True),
    Column("room", "room", word, right=True),
    Column("bans", "bans", word, right=True),
    Column("dropped", "dropped", word, right=True),
)

BANS: Final = (
    Column("zone", "zone", word),
    Column("key", "key", word),
    Column("for", "seconds", duration, right=True),
)
