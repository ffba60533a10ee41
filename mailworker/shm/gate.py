"""The check of connections against a server's `limit_conn`; native/shm/gate.c has it in C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mailworker.native.core import accelerator
from mailworker.shm.conn_table import ConnTable
from mailworker.shm.keys import GIVEN, USER, key
from mailworker.variables.prefix import WHOLE

__all__ = ["Gate", "Holdings"]

TOO_LONG: Final = -3
"""The result for a key that is too long to be counted, beside OVER and FULL of a ConnTable."""

_LONGEST_KEY: Final = 255  # bytes (nginx)


class Rule(NamedTuple):
    """One limit. `table` is the index of its table in Holdings, `number` that of its key (`mailworker.shm.keys`)."""

    table: int
    number: int
    most: int


class Numbered(Protocol):
    """A session, with the unique number of its connection."""

    @property
    def number(self) -> int: ...


class Holdings:
    """The counted connections of a worker, with their places in the journals of tables."""

    __slots__ = ("_places", "_tables")

    def __init__(self, tables: Sequence[ConnTable], /) -> None:
        self._places: dict[int, tuple[tuple[int, int], ...]] = {}
        self._tables = tuple(tables)

    def end(self, session: Numbered, /) -> None:
        """Uncount a session that has ended."""
        for table, place in self._places.pop(session.number, ()):
            self._tables[table].let_go(place)

    def __len__(self) -> int:
        """The number of connections that are counted in any table."""
        return len(self._places)


class Gate:
    """Counts connections by all limits or by none. A connection is counted once in each table.

    `keys` are the keys of the rules with the number GIVEN, in their order; empty ones are not counted.
    """

    __slots__ = ("_held", "_rules")

    def __init__(self, held: Holdings, rules: Sequence[Rule], /) -> None:
        """Raises ValueError for invalid rules."""
        self._held = held
        self._rules = tuple(rules)
        if not all(0 <= rule.table < len(held._tables) and GIVEN <= rule.number <= USER for rule in self._rules):
            raise ValueError("no such table, or no such key")

    def refusal(
        self, number: int, client: str, login: bytes, keys: Sequence[bytes] = (), without: int = 0, /
    ) -> tuple[int, int] | None:
        """Count connection `number`. Returns None, or the index of the rule that refuses it, and the reason.

        Rules whose bits are set in `without` are skipped.
        """
        places = self._held._places
        before = taken = places.get(number, ())
        given = iter(keys)
        for place, rule in enumerate(self._rules):
            text = next(given, b"") if rule.number == GIVEN else key(rule.number, client, login, WHOLE)
            if not text or without >> place & 1 or any(table == rule.table for table, _ in before):
                continue
            held = TOO_LONG
            if len(text) <= _LONGEST_KEY:
                held = self._held._tables[rule.table].hold(text, rule.most)
            if held < 0:
                for table, mine in taken[len(before) :]:
                    self._held._tables[table].let_go(mine)
                return place, held
            taken = (*taken, (rule.table, held))
        if taken:
            places[number] = taken
        return None

    def passes(self, client: str, number: int, _now: float, /) -> bool:
        """See `mailworker.event.lobby.QuickCheck`."""
        return self.refusal(number, client, b"") is None


if accelerator is not None and not TYPE_CHECKING:
    Gate, Holdings = accelerator.Gate, accelerator.Holdings
