"""Which rows of a live table are shown, and in which order: what has nothing to do with a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mailworker.control.client import Client
from mailworker.control.output import SESSIONS, printable

Row = Mapping[str, Any]

KEYS: Final = tuple(column.key for column in SESSIONS)
"""By what rows are ordered, from left to right."""

# Columns whose largest values are looked for.
_LARGEST_FIRST: Final = frozenset({"age", "idle", "in", "out"})

MOST: Final = 10_000
"""Sessions that are asked for: a terminal shows no more."""


@dataclass(frozen=True, slots=True)
class View:
    """What somebody looks at: `words` are those that a row must hold, each anywhere in it."""

    key: str = "age"
    reverse: bool = True
    words: tuple[str, ...] = ()

    def by(self, key: str) -> View:
        """Ordered by another column, or by the same one the other way round."""
        reverse = not self.reverse if key == self.key else key in _LARGEST_FIRST
        return replace(self, key=key, reverse=reverse)

    def moved(self, step: int) -> View:
        """Ordered by the column that is so many to the right."""
        return self.by(KEYS[(KEYS.index(self.key) + step) % len(KEYS)])

    def filtered(self, text: str) -> View:
        """Only rows that hold all words of a text."""
        return replace(self, words=tuple(text.lower().split()))

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """What is to be seen of them."""
        found = [row for row in rows if all(any(word in text for text in _texts(row)) for word in self.words)]
        return sorted(found, key=lambda row: _order(row[self.key]), reverse=self.reverse)

    def cells(self, row: Row) -> tuple[str, ...]:
        """The texts of a row."""
        return tuple(column.spell(row.get(column.key)) for column in SESSIONS)


def _texts(row: Row) -> list[str]:
    return [printable(str(row[key])).lower() for key in KEYS if row.get(key) is not None]


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by their size, texts by their letters, and what is not there first."""
    if value is None:
        return (0, 0.0, "")
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value).lower())


class Source:
    """Where rows come from. `error` is why there are none, or only old ones."""

    __slots__ = ("_client", "_selectors", "count", "error", "rows")

    def __init__(self, client: Client, selectors: Mapping[str, Any]) -> None:
        self._client = client
        self._selectors = selectors
        self.count = 0
        self.error = ""
        self.rows: list[Row] = []

    def refresh(self) -> None:
        """Ask again; what was there stays where nobody answers."""
        try:
            *lines, last = self._client.ask("sessions", limit=MOST, **self._selectors)
        except Exception as error:  # whatever it is, the next look may find it mended
            self._client.close()
            self.error = printable(str(error))
            return
        self.error = ""
        self.rows = [line["session"] for line in lines if "session" in line]
        self.count = int(last.get("count", len(self.rows)))
