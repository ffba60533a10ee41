"""The worker, which serves clients."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.process.child_process import ChildProcess
from mailworker.process.system import identity, sandbox
from mailworker.process.system.callbacks import Alarm


class Worker(ChildProcess):
    """Serves one cycle."""

    __slots__ = ()

    name = "worker process"

    def _start(self) -> None:
        core = self._cycle.settings.core
        self._cycle.leave_access_logs()
        identity.assume(core, self._number, self._log)
        self._cycle.service.start(self._loop, self._number, self._cycle.workers)
        if core.worker_sandbox:
            sandbox.enter()

    def _finish(self, done: Callable[[], None]) -> None:
        timeout = self._cycle.settings.core.worker_shutdown_timeout
        if timeout is not None:
            self._loop.set_deadline(Alarm(self._cycle.service.cut), self._loop.now + timeout)
        self._cycle.service.shutdown_gracefully(done)
        for listener in self._cycle.listeners:
            listener.close()

    def _end(self) -> None:
        self._cycle.service.abandon()
