"""The real mailworker, run as a child of the demo."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

# Seconds between two looks at the pid file, and from SIGTERM to SIGKILL.
_POLL = 0.05
_PATIENCE = 10.0


class Proxy(ProcessProtocol):
    """A master in the foreground, its output on the demo's.

    `serving` is called once its sockets listen, `ended` with the exit status (a negative signal number where one
    killed it) when it ends.
    """

    def __init__(self, reactor: Any, pid_file: Path, serving: Callable[[], None], ended: Callable[[int], None]) -> None:
        self._reactor = reactor
        self._pid_file = pid_file
        self._serving = serving
        self._ended = ended
        self._process: Any = None
        self._exit: Deferred[None] = Deferred()
        self._pid_file_poll = LoopingCall(self._look_for_pid_file)

    def start(self, launcher: Path, prefix: Path) -> None:
        """Start it; its master writes the pid file when all sockets are open."""
        command = [sys.executable, str(launcher), "-p", f"{prefix}/", "-g", "daemon off;"]
        self._process = self._reactor.spawnProcess(self, sys.executable, command, env=None, childFDs={0: 0, 1: 1, 2: 2})
        self._pid_file_poll.start(_POLL)

    def stop(self) -> Deferred[None]:
        """End master and workers; the result fires when the master is gone."""
        if not self._signal("TERM"):
            return succeed(None)
        kill = self._reactor.callLater(_PATIENCE, self._signal, "KILL")
        self._exit.addCallback(lambda _: kill.cancel() if kill.active() else None)
        return self._exit

    def processEnded(self, reason: Failure) -> None:
        if self._pid_file_poll.running:
            self._pid_file_poll.stop()
        status: Any = reason.value
        self._ended(-status.signal if status.signal else status.exitCode)
        self._exit.callback(None)

    def _signal(self, name: str) -> bool:
        try:
            self._process.signalProcess(name)
        except ProcessExitedAlready:
            return False
        return True

    def _look_for_pid_file(self) -> None:
        try:
            pid = self._pid_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return
        if pid == str(self._process.pid):
            self._pid_file_poll.stop()
            self._serving()
