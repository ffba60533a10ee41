"""What whoever starts a daemon hears of it."""

from __future__ import annotations

import errno
import os
import re
import signal
from pathlib import Path

import pytest

from mailworker.errors import StartError
from mailworker.log.log import Log
from mailworker.log.sinks import FileSink
from mailworker.model import Level
from mailworker.process.system.daemon import Starter, become_daemon, redirect_stderr, wait_for_daemon
from tests.process.conftest import Install
from tests.support.process import GREETING, configuration, greeting, refuses


def test_a_daemon_serves_when_its_parent_exits(install: Install, port: int) -> None:
    mailworker = install(configuration(port))
    started = mailworker.run()
    assert (started.returncode, started.stdout, started.stderr) == (0, b"", b"")
    assert mailworker.pid_file.exists()
    assert mailworker.workers()
    assert greeting(port) == GREETING


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ("pid missing/pid;", r'open\(\) ".*/missing/pid" failed \(2: No such file or directory\)'),
        ("working_directory /nowhere;", r"no worker process could start"),
    ],
)
def test_a_daemon_that_cannot_serve_is_told_of_and_leaves_nothing(
    install: Install, port: int, main: str, message: str
) -> None:
    mailworker = install(configuration(port, main=main))
    mailworker.alerts.append("cannot be respawned$")
    started = mailworker.run()
    assert started.returncode == 1
    assert re.fullmatch(rf"mailworker: \[emerg\] {message}(, the error log says more)?\n", started.stderr.decode())
    mailworker.await_true(lambda: refuses(port), "the end of all")
    mailworker.await_true(lambda: not mailworker.pid_file.exists(), "the pid file's end")
    assert mailworker.lines(rf"\[emerg\] .*: {message}$")


def test_without_descriptors_no_daemon_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(StartError, match=r"^pipe\(\) failed \(24: Too many open files\)$"):
        become_daemon(())


@pytest.mark.parametrize(
    ("told", "code", "printed"),
    [
        (Starter.serves, 0, ""),
        (Starter.fails, 1, ""),
        (lambda starter: starter.fails("[emerg] no luck"), 1, "mailworker: [emerg] no luck\n"),
        (Starter.leave, 1, "mailworker: [emerg] the daemon ended before it served\n"),
    ],
    ids=["serves", "fails and has said why", "fails", "is killed"],
)
def test_the_parent_exits_as_the_daemon_tells(
    told: object, code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    assert callable(told)
    told(Starter(writing))
    assert wait_for_daemon(reading) == code
    assert capsys.readouterr().err == printed


def test_a_daemon_goes_on_when_its_parent_did_not_wait() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        starter = Starter(writing)
        starter.serves()
        starter.fails("too late")
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_a_log_that_stderr_cannot_be_redirected_to_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reload stopped halfway: the old workers stayed, and no new ones were started."""

    def refuse(_old: int, _new: int) -> None:
        raise OSError(errno.EBUSY, "")

    sink = FileSink(tmp_path / "error.log")
    with monkeypatch.context() as patch:  # pytest needs the call afterwards
        patch.setattr(os, "dup2", refuse)
        redirect_stderr(Log([(Level.ALERT, sink)]))
    sink.close()
    text = (tmp_path / "error.log").read_text()
    assert text.endswith(": dup2(STDERR_FILENO) failed (16: Device or resource busy)\n")
