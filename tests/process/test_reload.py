from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mailworker.errors import ConfigError, UnreadableError
from mailworker.log.log import Log
from mailworker.process.cycle import Cycle, Invocation
from mailworker.process.reload import Reload
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration

INVOCATION = Invocation(("mailworker",), Path("/prefix"), Path("/prefix/conf/mailworker.conf"), None)


def never(seconds: float, action: Callable[[], None]) -> None:
    raise AssertionError("nothing to wait for")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("no luck", "FILE:7"), r"[emerg] no luck in FILE:7"),
        (UnreadableError("no file"), r"[crit] no file"),
        (RuntimeError("never thought of"), r"[alert] RuntimeError: never thought of in "),
    ],
)
def test_whatever_fails_is_logged_and_the_old_cycle_stays(
    monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    def fail(invocation: Invocation, log: Log, *, previous: Cycle) -> Cycle:
        raise error

    monkeypatch.setattr(Cycle, "load", fail)
    log, ended = RecordedLog(), list[Cycle | None]()
    Reload(INVOCATION, Cycle(configuration(), (), log.log), never, ended.append).run()
    assert ended == [None]
    assert log.lines[0] == "[notice] reconfiguring"
    assert log.lines[1].startswith(line)
