from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from mailworker.process.system.execution import execute

TELL = "import os, signal, sys; open(sys.argv[1], 'w').write(f'{os.environ} {signal.pthread_sigmask(0, ())}')"


@pytest.fixture(params=[None, errno.EPERM, errno.ENOSYS])
def refusal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What posix_spawn() says; None where it works."""
    if request.param is not None:

        def refuse(*arguments: object, **options: object) -> int:
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(os, "posix_spawn", refuse)


@pytest.mark.usefixtures("refusal")
@pytest.mark.parametrize("blocked", [set(), {signal.SIGHUP}])
def test_a_program_is_executed_with_its_signals_blocked(tmp_path: Path, blocked: set[signal.Signals]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        pid = execute(sys.executable, [sys.executable, "-c", TELL, str(tmp_path / "told")], {"NAME": "value"}, blocked)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    told = (tmp_path / "told").read_text()
    assert "'NAME': 'value'" in told
    assert told.endswith(f" {blocked}")


@pytest.mark.usefixtures("refusal")
def test_a_program_that_cannot_be_executed_is_named_by_its_error() -> None:
    children = set(psutil.Process().children())
    with pytest.raises(FileNotFoundError):
        execute("/nonexistent", ["nonexistent"], {}, ())
    assert set(psutil.Process().children()) <= children  # nobody is left behind
