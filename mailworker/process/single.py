"""`master_process off`: one process is master and worker at once, to look into."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from signal import Signals

from mailworker.errors import StartError
from mailworker.event.loop import Loop
from mailworker.event.selector import READ
from mailworker.event.timers import Timed
from mailworker.model import Level
from mailworker.process.bug import describe_bug, log_unraisable
from mailworker.process.cycle import Cycle
from mailworker.process.origin import Origin
from mailworker.process.reload import Reload
from mailworker.process.system import pid_file
from mailworker.process.system.alarm import Alarm
from mailworker.process.system.service_manager import REFUSED
from mailworker.process.system.signals import HELD, BlockedSignals, SignalSocket
from mailworker.process.system.titles import title_master
from mailworker.process.ticket_rotation import TicketRotation
from mailworker.process.worker import Watch

_STATUS = "Serving in a single process"


class SingleProcess:
    """Serves until it is told to leave. It keeps its user: only workers drop privileges."""

    __slots__ = (
        "_cycle", "_handlers", "_leaving", "_loop", "_origin", "_reload", "_reopen_again", "_retiring", "_signals",
        "_ticket_rotation",
    )  # fmt: skip

    def __init__(self, origin: Origin, cycle: Cycle) -> None:
        self._cycle = cycle
        self._origin = origin
        self._leaving = False
        self._loop = Loop(on_bug=self._log_bug)
        self._reload: Reload | None = None
        self._retiring: list[Cycle] = []
        self._reopen_again = False
        self._signals = SignalSocket()
        self._ticket_rotation = TicketRotation(self._expire_after)
        self._handlers: dict[Signals, tuple[str, Callable[[], None]]] = {
            signal.SIGTERM: (", exiting", self._loop.stop),
            signal.SIGINT: (", exiting", self._loop.stop),
            signal.SIGQUIT: (", shutting down", self._shut_down),
            signal.SIGHUP: (", reconfiguring", self._reconfigure),
            signal.SIGUSR1: (", reopening logs", self._reopen_logs),
            signal.SIGUSR2: (", ignoring", _ignore),
            signal.SIGWINCH: ("", _ignore),
            signal.SIGTTIN: (", ignoring", _ignore),
            signal.SIGTTOU: (", ignoring", _ignore),
            signal.SIGALRM: ("", _ignore),
            signal.SIGIO: ("", _ignore),
        }

    def hold_signals(self) -> None:
        """Keep signals until `run` can obey them; to be called before anybody knows whom to send them to."""
        self._signals.open(self._handlers)
        BlockedSignals(HELD).unblock()

    def run(self) -> int:
        """Serve; returns the exit code."""
        try:
            self._serve()
        finally:
            self._leave()
        return 0

    def _serve(self) -> None:
        title_master(self._origin.invocation.arguments)
        log_unraisable(self._log_bug)
        self._ticket_rotation.follow(self._cycle)
        self._loop.watch(self._signals.fileno(), READ, Watch(self._take_signals))
        self._cycle.service.start(self._loop, 0, 1)
        self._origin.serve(_STATUS)
        self._origin.manager.keep_alive(self._after)
        self._loop.run()
        for cycle in (self._cycle, *self._retiring):
            cycle.service.abandon()
        self._abandon_reload()
        self._origin.manager.stopping()

    def _leave(self) -> None:
        log = self._cycle.log
        log.write(Level.NOTICE, "exit")
        try:
            pid_file.remove(self._cycle.settings.core.pid)
        except StartError as error:
            log.write(Level.ALERT, str(error))
        self._cycle.close()

    def _log_bug(self, bug: BaseException) -> None:
        self._cycle.log.write(Level.ALERT, describe_bug(bug))

    def _take_signals(self) -> None:
        for received in self._signals.read():
            action, handler = self._handlers[received.signal]
            self._cycle.log.write(Level.NOTICE, received.describe(action))
            handler()

    def _shut_down(self) -> None:
        if not self._leaving:
            self._leaving = True
            self._abandon_reload()
            self._origin.manager.stopping()
            self._cycle.log.write(Level.NOTICE, "gracefully shutting down")
            self._finish(self._cycle, self._loop.stop)

    def _finish(self, cycle: Cycle, done: Callable[[], None]) -> None:
        timeout = cycle.settings.core.worker_shutdown_timeout
        if timeout is not None:
            self._after(timeout, cycle.service.cut)
        cycle.service.shutdown_gracefully(done)

    def _reconfigure(self) -> None:
        if self._reload is None and not self._leaving:
            self._origin.manager.reloading()
            self._reopen_again = False
            self._reload = Reload(self._origin.invocation, self._cycle, self._after, self._reloaded)
            self._reload.run()

    def _abandon_reload(self) -> None:
        if self._reload is not None:
            self._reload.abandon()
            self._reload = None

    def _reloaded(self, new: Cycle | None) -> None:
        self._reload = None
        if new is None:
            self._origin.manager.ready(REFUSED)
            return
        old, self._cycle = self._cycle, new
        new.redirect_stderr()
        # Sockets that both cycles have must leave the selector before they enter it again.
        self._retiring.append(old)
        self._finish(old, partial(self._retire, old))
        old.remove_listeners(new)
        self._ticket_rotation.follow(new)
        new.service.start(self._loop, 0, 1)
        self._origin.manager.ready(_STATUS)
        if self._reopen_again:
            self._reopen_logs()

    def _retire(self, old: Cycle) -> None:
        self._retiring.remove(old)
        old.close_logs()

    def _reopen_logs(self) -> None:
        self._cycle.log.write(Level.NOTICE, "reopening logs")
        self._cycle.reopen_logs()
        self._cycle.redirect_stderr()
        self._reopen_again = self._reload is not None  # which has opened its logs already

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._expire_after(Alarm(action), seconds)

    def _expire_after(self, timed: Timed, seconds: float) -> None:
        self._loop.set_deadline(timed, self._loop.now + seconds)


def _ignore() -> None:
    """There is no other binary to change to without a master, nor a worker to add or to take."""
