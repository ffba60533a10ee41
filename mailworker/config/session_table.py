"""`session_table`: the number of sessions of each worker that other processes can list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import values
from mailworker.config.command import ONE
from mailworker.config.drafts import Context
from mailworker.config.events import EventsSettings
from mailworker.config.rows import Value, commands, merged, row
from mailworker.config.slots import once, within
from mailworker.config.tree import Parser

OFF: Final = "off"

MOST: Final = 1 << 20
"""The largest number of rows of a worker."""


def _read(parser: Parser) -> int:
    word = parser.words[1]
    rows = 0 if word == OFF else values.number(word)
    if rows is None:
        raise parser.error(f'invalid number of sessions "{word}"')
    return within(parser, rows, values.Bounds(0, MOST))


@dataclass(slots=True)
class SessionTableDraft:
    """0 is `off`; None is half of `worker_connections` if another directive needs the table, else 0."""

    session_table: int | None = row(Context.MAIN, ONE, Value(once(_read)), None)


def freeze(parser: Parser, events: EventsSettings, *, wanted: bool, master: bool) -> int:
    """The rows of each worker, 0 for no table. `wanted`: another directive needs the table.

    Without a `master` there is no process that would read it.
    """
    rows = merged(SessionTableDraft, parser.main).session_table
    if not master:
        return 0
    if rows is None:
        return min(events.worker_connections // 2, MOST) if wanted else 0
    return rows


COMMANDS: Final = commands(SessionTableDraft)
