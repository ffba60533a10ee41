"""Changing the binary: another master beside this one, on the same listening sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mailworker.errors import StartError
from mailworker.log.line import describe, describe_lack
from mailworker.model import After, Level
from mailworker.process.cycle import Cycle
from mailworker.process.handover import inheritance
from mailworker.process.handover.inheritance import Inheritance
from mailworker.process.handover.succession import Successor, kick_former, link_to_predecessor
from mailworker.process.handover.zones import announced
from mailworker.process.retry import Retry
from mailworker.process.system import service_manager
from mailworker.process.system.execution import execute
from mailworker.process.system.identity import worker_environment
from mailworker.process.system.service_manager import ServiceManager, Turn
from mailworker.process.system.signals import HELD


class Upgrade:
    """The other master: the new binary that we started, or the old one that started us.

    While it runs, no third one is started, and unix sockets and the pid file's name are shared with it.
    """

    __slots__ = ("_after", "_new", "_old", "_predecessor", "_successor", "_turn")

    def __init__(self, inherited: Inheritance, after: After) -> None:
        self._after = after
        self._new: int | None = None
        self._predecessor = link_to_predecessor(inherited.predecessor)
        self._successor: Successor | None = None
        self._turn: Turn | None = None
        self._old = os.getppid() if inherited.from_master else None

    @property
    def new_runs(self) -> bool:
        """Whether the new binary that we started is running."""
        return self._new is not None

    @property
    def other_runs(self) -> bool:
        """Whether there are two masters."""
        return self.new_runs or (self._old is not None and self._old == os.getppid())

    def refuse(self, cycle: Cycle) -> None:
        """Log that there are two masters already."""
        cycle.log.write(
            Level.CRIT,
            "the changing binary signal is ignored: "
            "you should shutdown or terminate before either old or new binary's process",
        )

    def start(self, cycle: Cycle) -> None:
        """Start the new binary, which gets the sockets and the pid file's name; errors are logged."""
        cycle.log.write(Level.NOTICE, "changing binary")
        pid, old_pid = cycle.settings.core.pid, old_pid_file(cycle)
        binary = sys.executable
        try:
            _rename(pid, old_pid, f'failed before executing new binary process "{binary}"')
            try:
                self._turn, self._successor = Turn(), Successor()
                with self._turn.announced() as turn, self._successor.announced() as successor:
                    environment = {**new_environment(cycle, os.environ), **turn, **successor}
                    self._new = _spawn(binary, cycle, environment)
            except (MemoryError, OSError) as error:
                self._drop_new()
                message = f'execve() failed while executing new binary process "{binary}" {describe_lack(error)}'
                cycle.log.write(Level.ALERT, message)
                self._restore(cycle, f'back failed after an attempt to execute new binary process "{binary}"')
            else:
                cycle.log.write(Level.NOTICE, f"start new binary process {self._new}")
        except StartError as error:
            cycle.log.write(Level.ALERT, str(error))

    def take_back(self, pid: int, cycle: Cycle) -> bool:
        """Restore the pid file if `pid`, which has ended, was the new binary; returns whether it was."""
        if pid != self._new:
            return False
        self._new = None
        self._drop_new()
        self._restore(cycle, f'back failed after the new binary process "{sys.executable}" exited')
        return True

    def _restore(self, cycle: Cycle, failure: str) -> None:
        """Restore the pid file's name. If that fails, it is tried again, or nobody could signal this master."""
        old, new = old_pid_file(cycle), cycle.settings.core.pid
        try:
            _rename(old, new, failure)
        except StartError as error:
            cycle.log.write(Level.ALERT, str(error))
            Retry(self._after, partial(_renamed, old, new)).now()

    def announce_leaving(self, manager: ServiceManager) -> None:
        """Report to the service manager that we exit, or that the new binary is the main process now."""
        if self._new is not None and self._turn is not None:
            manager.hand_over(self._new)
            self._turn.give()
        elif not self.other_runs:
            manager.stopping()

    def kick_former(self, sessions: bytes) -> bool:
        """Have the old master end sessions of its workers; False if there is none, or it has no room."""
        return self._predecessor is not None and kick_former(self._predecessor, sessions)

    def take_kicks(self) -> list[bytes]:
        """The sessions of our workers that the new master wants to end."""
        return [] if self._successor is None else self._successor.take_kicks()

    def leave(self) -> None:
        """Close, in a child, what only the master needs."""
        if self._predecessor is not None:
            self._predecessor.close()
        self._close_links()

    def _close_links(self) -> None:
        for each in (self._turn, self._successor):
            if each is not None:
                each.close()

    def _drop_new(self) -> None:
        self._close_links()
        self._turn = self._successor = None


def old_pid_file(cycle: Cycle) -> Path:
    """The pid file of a master whose successor has started."""
    pid = cycle.settings.core.pid
    return pid.with_name(f"{pid.name}.oldbin")


def new_environment(cycle: Cycle, current: Mapping[str, str]) -> dict[str, str]:
    """The new binary's environment: the variables that `env` keeps, the sockets, and the service manager's."""
    environment = worker_environment(cycle.settings.core.env, current)
    environment[inheritance.VARIABLE] = inheritance.announce(cycle.listeners)
    environment.update({name: current[name] for name in service_manager.VARIABLES if name in current})
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # for modules that are loaded before `inherited_state.settle`
    return environment


def _spawn(binary: str, cycle: Cycle, environment: Mapping[str, str]) -> int:
    """Execute our command line again, with the sockets and copies of the zones; raises OSError."""
    sockets = [listener.socket for listener in cycle.listeners]
    try:
        for listening in sockets:
            listening.set_inheritable(True)
        with announced(cycle.zones, cycle.log) as announcement:
            # Signals stay blocked across exec; these would end the new binary before it has installed its handlers.
            return execute(binary, sys.orig_argv, {**environment, **announcement}, HELD)
    finally:
        for listening in sockets:
            listening.set_inheritable(False)


def _rename(old: Path, new: Path, failure: str) -> None:
    try:
        old.rename(new)
    except OSError as error:
        raise StartError(f"rename() {old} to {new} {failure} {describe(error)}") from None


def _renamed(old: Path, new: Path) -> bool:
    """Rename `old`; False if another try may succeed."""
    try:
        old.rename(new)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
