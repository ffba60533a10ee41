"""The rows of mailworker-top, and their order; this part does not use a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mailworker.control.client import Client
from mailworker.control.output import SESSIONS
from mailworker.errors import printable

Row = Mapping[str, Any]

KEYS: Final = tuple(column.key for column in SESSIONS)
"""The columns that rows can be sorted by, from left to right."""

# Columns that are sorted from the largest value down.
_LARGEST_FIRST: Final = frozenset({"age", "idle", "in", "out"})

MOST: Final = 10_000
"""The most sessions that are requested."""


@dataclass(frozen=True, slots=True)
class View:
    """The order and the filter: each of `words` must occur somewhere in a row."""

    key: str = "age"
    reverse: bool = True
    words: tuple[str, ...] = ()

    def by(self, key: str) -> View:
        """Sorted by another column, or by the same one in reverse."""
        reverse = not self.reverse if key == self.key else key in _LARGEST_FIRST
        return replace(self, key=key, reverse=reverse)

    def moved(self, step: int) -> View:
        """Sorted by the column that is `step` to the right."""
        return self.by(KEYS[(KEYS.index(self.key) + step) % len(KEYS)])

    def filtered(self, text: str) -> View:
        """Only rows that contain all words of a text."""
        return replace(self, words=tuple(text.lower().split()))

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """The rows to show, in order."""
        found = [row for row in rows if all(any(word in text for text in _texts(row)) for word in self.words)]
        return sorted(found, key=lambda row: _order(row[self.key]), reverse=self.reverse)

    def cells(self, row: Row) -> tuple[str, ...]:
        """The texts of a row."""
        return tuple(column.spell(row.get(column.key)) for column in SESSIONS)


def _texts(row: Row) -> list[str]:
    return [printable(str(row[key])).lower() for key in KEYS if row.get(key) is not None]


def _order(value: Any) -> tuple[int, float, str]:
    """Missing values first, then numbers by size, then texts alphabetically."""
    if value is None:
        return (0, 0.0, "")
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value).lower())


class Source:
    """The source of rows. `error` is why there are none, or only old ones."""

    __slots__ = ("_client", "_selectors", "count", "error", "rows")

    def __init__(self, client: Client, selectors: Mapping[str, Any]) -> None:
        self._client = client
        self._selectors = selectors
        self.count = 0
        self.error = ""
        self.rows: list[Row] = []

    def refresh(self) -> None:
        """Request the rows again; after an error the old rows are kept."""
        try:
            *lines, last = self._client.ask("sessions", limit=MOST, **self._selectors)
        except Exception as error:  # the next try may succeed
            self._client.close()
            self.error = printable(str(error))
            return
        self.error = ""
        self.rows = [line["session"] for line in lines if "session" in line]
        self.count = int(last.get("count", len(self.rows)))
