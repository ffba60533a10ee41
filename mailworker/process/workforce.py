"""Keeps as many workers and helpers running as are needed, and ends those of former cycles."""

from __future__ import annotations

import signal
from collections.abc import Callable
from errno import EMFILE, ENOMEM
from functools import partial
from time import monotonic
from typing import Final

from mailworker.errors import counted
from mailworker.log.log import Log
from mailworker.mail.counting import respawns
from mailworker.model import After, Level
from mailworker.process.bug import log_bug
from mailworker.process.children import Child, Children, Exit, Place
from mailworker.process.cycle import Cycle
from mailworker.process.helper import Helper
from mailworker.process.kicking import Kicking
from mailworker.process.link import Kick, send_kick
from mailworker.process.log_writer import LogWriter
from mailworker.process.status_process import StatusProcess
from mailworker.process.worker import Worker
from mailworker.status.master_state import Process

# nginx's, in seconds: the delay after the first SIGTERM, doubling up to the last, after which SIGKILL is sent.
_FIRST_TERM_DELAY = 0.05
_LAST_TERM_DELAY = 1.0
# Seconds between two tries to start a process if the system refuses it: doubling up to the last.
_FIRST_RETRY = 0.25
_LAST_RETRY = 8.0
# Seconds between two checks whether new workers serve: doubling up to the last.
_FIRST_LOOK = 0.01
_LAST_LOOK = 1.0

# Seconds that a helper may take to exit after the last worker, and then after SIGKILL: with its low priority it may
# wait long for a busy processor.
_LONGEST_END = 5.0

HELPERS: Final[tuple[type[Helper], ...]] = (LogWriter, StatusProcess)
"""A cycle has one process of each that it needs. Helpers start before the workers, and exit after the last worker."""


class Workforce:
    """Has a place for each worker and helper of the present cycle, and replaces processes that end.

    A helper that fails does not keep the workers from serving. `after(seconds, action)` arranges for a call later.
    `kicking` ends sessions, also those of former cycles.
    """

    __slots__ = (
        "_after", "_children", "_cycle", "_failed", "_postponed", "_refusals", "_wanted", "_workers", "kicking",
    )  # fmt: skip

    def __init__(self, cycle: Cycle, children: Children, after: After) -> None:
        self._after = after
        self._children = children
        self._cycle = cycle
        self._failed: set[Place] = set()  # places whose processes exited with the fatal code
        self._postponed = self._wanted = False
        self._refusals = Refusals()
        self._workers = cycle.workers
        self.kicking = Kicking(partial(_send_kick, children), after)

    @property
    def status(self) -> str:
        """The status that service managers show."""
        return f"Serving with {self._workers} worker process{'' if self._workers == 1 else 'es'}"

    @property
    def hopeless(self) -> bool:
        """Whether no worker of this cycle can start."""
        return self._failed.issuperset(self._places_of_workers)

    def start(self) -> None:
        """Fill all places from now on, as many as the configuration asks for."""
        self._cycle.log.write(Level.NOTICE, "start worker processes")
        self._workers = self._cycle.workers
        self._failed.clear()
        self._wanted = True
        self._dismiss_surplus()
        self._fill_all()

    def follow(self, cycle: Cycle) -> None:
        """Switch to another cycle and its number of workers; the old workers go on for now."""
        self._cycle = cycle
        self.start()

    def add(self) -> None:
        """Add a worker, until the next reload."""
        self._workers += 1
        self._fill(Place(Worker, self._workers - 1), self._cycle)

    def remove(self) -> None:
        """Remove a worker, but not the last one, until the next reload."""
        if self._workers > 1:
            self._workers -= 1
            self._dismiss_surplus()

    def _dismiss_surplus(self) -> None:
        here = self._cycle
        self._shut_down(lambda child: child.stays_in(here) and not self._is_wanted(child.place, here))

    def dismiss_former(self) -> None:
        """Shut down the workers of former cycles as soon as those of the present cycle serve."""
        self._when(self._is_complete, self._dismiss_former)

    def when_serving(self, action: Callable[[], None]) -> None:
        """Call `action` when the first worker serves, or when none can start."""
        self._when(lambda: bool(self._serving()) or self.hopeless, action)

    def renew(self, helper: type[Helper]) -> None:
        """Replace the running helper of this kind."""
        self._shut_down(lambda child: child.place.kind is helper)
        self._fill(Place(helper, 0), self._cycle)

    def dismiss(self) -> None:
        """Shut down all workers, and replace none until `start`."""
        self._wanted = False
        self._shut_down(_works)
        self._dismiss_helpers()

    def terminate(self) -> None:
        """End all workers at once; helpers exit after the last one, with its last packets."""
        self._wanted = False
        self._insist()
        self._dismiss_helpers()

    def _insist(self, delay: float = _FIRST_TERM_DELAY) -> None:
        """Send the workers SIGTERM, again after growing delays, and at last SIGKILL."""
        number = signal.SIGTERM if delay <= _LAST_TERM_DELAY else signal.SIGKILL
        self._children.signal(number, _works, self._cycle.log)
        self._after(delay, lambda: self._insist(2 * delay))

    def reap(self) -> list[Exit]:
        """Reap ended processes, and replace those that are needed. Returns the others: no workers and no helpers."""
        others = []
        for ended in self._children.reap():
            child = ended.child
            if child is None:
                others.append(ended)
                continue
            try:
                _note(ended, child, self._cycle)
            finally:  # also without memory for that
                # Former cycles need helpers while they have workers.
                if not child.leaving and (child.cycle is self._cycle or _serves_former(child)):
                    self._replace(ended, child)
        self._dismiss_helpers()
        return others

    @property
    def _places_of_workers(self) -> list[Place]:
        return [Place(Worker, number) for number in range(self._workers)]

    def _dismiss_former(self) -> None:
        self._shut_down(lambda child: not _serves_former(child) and child.cycle is not self._cycle)
        self._dismiss_helpers()

    def _dismiss_helpers(self) -> None:
        """Shut down the helpers of cycles that have no workers and will have none."""
        told = self._shut_down(lambda child: not _works(child) and not self._has_workers(child.cycle))
        if told:
            self._after(_LONGEST_END, lambda: self._kill(told))

    def _shut_down(self, only: Callable[[Child], bool]) -> list[Child]:
        return self._children.shut_down(only, self._cycle.log)

    def _kill(self, children: list[Child]) -> None:
        """Kill these, as they may hang at a dead disk; after a while wait for them no longer."""
        self._children.signal(signal.SIGKILL, lambda child: child in children, self._cycle.log)
        self._after(_LONGEST_END, lambda: self._children.forget(children, self._cycle.log))

    def _has_workers(self, cycle: Cycle) -> bool:
        """Whether a cycle has workers, or will have."""
        return (self._wanted and cycle is self._cycle) or any(
            _works(child) and child.cycle is cycle for child in self._children
        )

    def _serving(self) -> set[Place]:
        """The places whose workers serve."""
        return {each.place for each in self._children if _works(each) and each.serves and each.stays_in(self._cycle)}

    def _is_complete(self) -> bool:
        """Whether workers serve in all places that can be filled."""
        serving = self._serving()
        return bool(serving) and (serving | self._failed).issuperset(self._places_of_workers)

    def _when(self, holds: Callable[[], bool], action: Callable[[], None], pause: float = _FIRST_LOOK) -> None:
        """Call `action` as soon as `holds` returns true, unless workers are no longer wanted."""
        if not self._wanted:
            return
        self._children.receive()
        if holds():
            action()
        else:
            self._after(pause, lambda: self._when(holds, action, min(pause * 2, _LAST_LOOK)))

    def _replace(self, ended: Exit, child: Child) -> None:
        if ended.fatal:
            if child.cycle is self._cycle:
                self._failed.add(child.place)
            return
        pause = self._children.pause(ended, monotonic())
        if pause:
            self._after(pause, lambda: self._fill(child.place, child.cycle))
        else:
            self._fill(child.place, child.cycle)

    def _fill_all(self) -> None:
        """Start all missing processes, unless the system refuses one."""
        self._postponed = False
        for place in (*(Place(helper, 0) for helper in _helpers(self._cycle)), *self._places_of_workers):
            self._fill(place, self._cycle)

    def _fill(self, place: Place, cycle: Cycle) -> None:
        """Start the process of this place if it is missing. If the system refuses, all missing ones are tried later."""
        if (
            self._postponed
            or place in self._failed
            or self._children.are_in(place, cycle)
            or not self._is_wanted(place, cycle)
        ):
            return
        helpers = [helper for helper in _helpers(cycle) if helper.has_channels] if place.kind is Worker else ()
        try:
            error = self._children.spawn(cycle, place, self._cycle, helpers)
        except MemoryError as bug:
            log_bug(self._cycle.log, bug)
            error = OSError(ENOMEM, "")
        if error is None:
            self._refusals.end(place)
            self._children.channel_retry.now()
        elif self._refusals.are_final(error):
            self._failed.update(self._places_of_workers)
        else:
            self._postponed = True
            self._after(self._refusals.pause(self._cycle.log), self._fill_all)

    def _is_wanted(self, place: Place, cycle: Cycle) -> bool:
        if place.kind is not Worker:
            return self._has_workers(cycle)
        return self._wanted and cycle is self._cycle and place.number < self._workers


class Refusals:
    """Counts the tries in a row that the system has refused to start a process."""

    __slots__ = ("_begun", "_count", "_pause")

    def __init__(self) -> None:
        self._begun = False  # whether any worker has been started
        self._count = 0
        self._pause = _FIRST_RETRY

    def end(self, place: Place) -> None:
        """Note that the process of that place was started."""
        self._begun = self._begun or place.kind is Worker
        self._count, self._pause = 0, _FIRST_RETRY

    def are_final(self, error: OSError) -> bool:
        """Whether further tries are useless: without workers, no descriptors will be freed."""
        return error.errno == EMFILE and not self._begun

    def pause(self, log: Log) -> float:
        """Log the next try, and return the seconds before it."""
        pause = self._pause
        self._count += 1
        self._pause = min(pause * 2, _LAST_RETRY)
        refused = counted(self._count, "time")
        log.write(Level.NOTICE, f"try again to start worker processes after {pause * 1000:.0f}ms, refused {refused}")
        return pause


def _works(child: Child) -> bool:
    """Whether it is a worker."""
    return child.place.kind is Worker


def _send_kick(children: Children, row: int, kick: Kick) -> bool:
    """Send the message to the worker of that row; False if it has no room."""
    return all(send_kick(child.link, kick) for child in children if child.row == row and _works(child))


def process_of(child: Child) -> Process:
    """The child, as it is posted for the status process."""
    return Process(child.pid, child.row, child.place.number, _works(child), child.leaving)


def _note(ended: Exit, child: Child, present: Cycle) -> None:
    """Log that a child has ended, and count it if that was not intended."""
    ended.log(present.log)
    if _works(child) and not child.leaving and present.scoreboard is not None:
        present.scoreboard.add(respawns(ended.code < 0))


def _serves_former(child: Child) -> bool:
    """Whether it is a helper that a former cycle needs while it has workers."""
    return issubclass(child.place.kind, Helper) and child.place.kind.has_channels


def _helpers(cycle: Cycle) -> list[type[Helper]]:
    """The helpers that a cycle needs."""
    return [helper for helper in HELPERS if helper.is_wanted(cycle)]
