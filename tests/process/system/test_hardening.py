from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mailworker.process.system import hardening
from mailworker.process.system.hardening import harden
from tests.support.recorded_log import RecordedLog

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has prctl(2)")
PR_GET_DUMPABLE = 3


def hardened(*, core_dumps: bool) -> list[str]:
    """What a process that hardens itself sees of it, and logs."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        log = RecordedLog()
        harden(log.log, core_dumps=core_dumps)
        assert hardening.LIBC is not None
        status = Path("/proc/self/status").read_text()
        (privileges,) = [line for line in status.splitlines() if line.startswith("NoNewPrivs")]
        dumpable = hardening.LIBC.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
        os.write(writing, "\n".join([privileges, str(dumpable), *log.lines]).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as told:  # noqa: PTH123 - a descriptor
        lines = told.read().splitlines()
    assert os.waitpid(pid, 0) == (pid, 0)
    return lines


@pytest.mark.parametrize("core_dumps", [False, True])
def test_privileges_and_what_others_may_see_are_given_up(core_dumps: bool) -> None:
    assert hardened(core_dumps=core_dumps) == ["NoNewPrivs:\t1", str(int(core_dumps))]


def test_a_refusal_is_logged_and_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        """A C library in a sandbox."""

        def prctl(self, *arguments: object) -> int:
            return -1

    monkeypatch.setattr(hardening, "LIBC", Refusing())
    log = RecordedLog()
    harden(log.log, core_dumps=True)
    assert [line.split(" failed")[0] for line in log.lines] == [
        "[alert] prctl(PR_SET_NO_NEW_PRIVS, 1)",
        "[alert] prctl(PR_SET_DUMPABLE, 1)",
    ]
