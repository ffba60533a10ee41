"""Records without a session, made by the classes that the program uses and by those written in Python."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from mailworker.mail import facts, record
from tests.support.implementations import without_c
from tests.support.lines import Lines

FIELDS = (
    *("accepted", "attempts", "auth_ms", "auth_user", "backend", "client", "client_bytes", "event", "login_ms"),
    *("method", "number", "port", "reason", "started"),
)


class Classes:
    """The classes `Record` and `Facts`."""

    def __init__(self, *, plain: bool) -> None:
        records: Any = without_c(record) if plain else record
        with patch.dict(sys.modules, {record.__name__: records}):
            told: Any = without_c(facts) if plain else facts
        self.Record = records.SessionRecord
        self.Facts = told.FactsRecord


CLASSES = {"as the program has them": Classes(plain=False), "in Python": Classes(plain=True)}


class Bytes:
    """The byte counter of a connection."""

    def __init__(self, received: int) -> None:
        self.received = received
        self.tls = None


class Entrance:
    """The entrance of all records, with a clock that tests set; `logs` are those of each event."""

    def __init__(
        self, logs: Sequence[object] = (), backend: object = None, rows: object = None, counted: object = None
    ) -> None:
        self.heard: list[object] = []
        self.lines = Lines()
        self.log = SimpleNamespace(informative=False, enabled=lambda level: True, write=self._write)
        self.name = "127.0.0.1:143"
        self.sessions = SimpleNamespace(
            live={}, lines=self.lines, listeners=(self.heard.append,), loop=SimpleNamespace(now=0.0)
        )
        logs = tuple(logs)
        access_logs = SimpleNamespace(at_end=logs, at_failure=logs, at_login=logs, null_sessions=False)
        settings = SimpleNamespace(access_log=SimpleNamespace(used=()))
        self.server = SimpleNamespace(
            access_logs=access_logs, backend=backend, counted=counted, rows=rows, settings=settings
        )
        self.written: list[str] = []

    def _write(self, level: object, message: str, number: int, about: object) -> None:
        self.written.append(message)


def noted(each: Any) -> dict[str, object]:
    """The fields of a record."""
    return {name: getattr(each, name) for name in FIELDS}
