"""The processes of the present cycle, and those of former ones that are leaving."""

from __future__ import annotations

import signal
from collections.abc import Callable
from errno import EMFILE
from functools import partial
from time import monotonic
from typing import Final

from mailworker.errors import counted
from mailworker.log.log import Log
from mailworker.mail.counting import respawns
from mailworker.model import After, Level
from mailworker.process.children import Child, Children, Exit, Place
from mailworker.process.cycle import Cycle
from mailworker.process.helper import Helper
from mailworker.process.kicking import Kicking
from mailworker.process.link import Kick, send_kick
from mailworker.process.log_writer import LogWriter
from mailworker.process.status_process import StatusProcess
from mailworker.process.worker import Worker
from mailworker.status.standing import Process

# nginx's, in seconds: the delay after the first SIGTERM, doubling up to the last; then SIGKILL follows.
_FIRST_TERM_DELAY = 0.05
_LAST_TERM_DELAY = 1.0
# Seconds between two tries where the system refuses to start a process: doubling up to the last.
_FIRST_RETRY = 0.25
_LAST_RETRY = 8.0
# Seconds between two checks whether new workers serve: doubling up to the last.
_FIRST_LOOK = 0.01
_LAST_LOOK = 1.0

# Seconds that a helper may take to finish after the last worker, and again to die of SIGKILL: a nice process waits long
# for a busy processor.
_LONGEST_END = 5.0

HELPERS: Final[tuple[type[Helper], ...]] = (LogWriter, StatusProcess)
"""A cycle has one process of each, if it needs it: started before the workers, ended after the last of them."""


class Workforce:
    """Places of workers and helpers, each kept filled with a process of the present cycle while that is wanted.

    Whether the cycle serves depends on the workers alone: a helper that fails does not stop anything.
    `after(seconds, action)` arranges for a call later. `kicking` ends sessions, those of former cycles too.
    """

    __slots__ = (
        "_after", "_children", "_cycle", "_failed", "_postponed", "_refusals", "_wanted", "_workers", "kicking",
    )  # fmt: skip

    def __init__(self, cycle: Cycle, children: Children, after: After) -> None:
        self._after = after
        self._children = children
        self._cycle = cycle
        self._failed: set[Place] = set()  # places that no process of this cycle can fill
        self._postponed = self._wanted = False
        self._refusals = Refusals()
        self._workers = cycle.workers
        self.kicking = Kicking(partial(_send_kick, children), after)

    @property
    def status(self) -> str:
        """A status line for people."""
        return f"Serving with {self._workers} worker process{'' if self._workers == 1 else 'es'}"

    @property
    def hopeless(self) -> bool:
        """Whether no worker of this cycle could start, and none will."""
        return self._failed.issuperset(self._places_of_workers)

    def start(self) -> None:
        """Fill all places from now on, as many as the configuration demands."""
        self._cycle.log.write(Level.NOTICE, "start worker processes")
        self._workers = self._cycle.workers
        self._failed.clear()
        self._wanted = True
        self._dismiss_surplus()
        self._fill_all()

    def follow(self, cycle: Cycle) -> None:
        """Work for another cycle, with as many workers as it demands; the old ones are not told yet."""
        self._cycle = cycle
        self.start()

    def add(self) -> None:
        """Have one worker more, until the configuration is read again."""
        self._workers += 1
        self._fill(Place(Worker, self._workers - 1), self._cycle)

    def remove(self) -> None:
        """Have one worker less, until the configuration is read again; the last one stays."""
        if self._workers > 1:
            self._workers -= 1
            self._dismiss_surplus()

    def _dismiss_surplus(self) -> None:
        here = self._cycle
        self._children.shut_down(lambda child: child.stays_in(here) and not self._is_wanted(child.place, here))

    def dismiss_former(self) -> None:
        """Tell the workers of former cycles to finish as soon as those of the present one serve in their places."""
        self._when(self._is_complete, self._dismiss_former)

    def when_serving(self, action: Callable[[], None]) -> None:
        """Call `action` when the first worker serves, or when it is certain that none will."""
        self._when(lambda: bool(self._serving()) or self.hopeless, action)

    def renew(self, helper: type[Helper]) -> None:
        """Replace the running helper of this kind."""
        self._children.shut_down(lambda child: child.place.kind is helper)
        self._fill(Place(helper, 0), self._cycle)

    def dismiss(self) -> None:
        """Tell all workers to finish, and fill no place until `start`."""
        self._wanted = False
        self._children.shut_down(_works)
        self._dismiss_helpers()

    def terminate(self) -> None:
        """Send SIGTERM repeatedly, at growing intervals, and at last SIGKILL."""
        self._wanted = False
        _Termination(self._children, self._after).insist()

    def reap(self) -> list[Exit]:
        """Replace the processes that have ended but are needed; returns those that were neither workers nor helpers."""
        others = []
        for ended in self._children.reap():
            child = ended.child
            if child is None:
                others.append(ended)
                continue
            _note(ended, child, self._cycle)
            if self._is_needed(child):
                self._replace(ended, child)
        self._dismiss_helpers()
        return others

    def _is_needed(self, child: Child) -> bool:
        """Whether a process that has ended is to be replaced; former cycles need helpers while they have workers."""
        return not child.leaving and (child.cycle is self._cycle or _outlasts(child))

    @property
    def _places_of_workers(self) -> list[Place]:
        return [Place(Worker, number) for number in range(self._workers)]

    def _dismiss_former(self) -> None:
        self._children.shut_down(lambda child: not _outlasts(child) and child.cycle is not self._cycle)
        self._dismiss_helpers()

    def _dismiss_helpers(self) -> None:
        """Tell those helpers to finish whose cycle has no workers and will have none."""
        told = self._children.shut_down(lambda child: not _works(child) and not self._has_workers(child.cycle))
        if told:
            self._after(_LONGEST_END, lambda: self._kill(told))

    def _kill(self, children: list[Child]) -> None:
        """A dead disk must keep neither them nor us."""
        self._children.signal(signal.SIGKILL, lambda child: child in children)
        self._after(_LONGEST_END, lambda: self._children.forget(children, self._cycle.log))

    def _has_workers(self, cycle: Cycle) -> bool:
        """Whether a cycle has workers, or will have some."""
        return (self._wanted and cycle is self._cycle) or any(
            _works(child) and child.cycle is cycle for child in self._children
        )

    def _serving(self) -> set[Place]:
        """The places with a worker that serves."""
        return {each.place for each in self._children if _works(each) and each.serves and each.stays_in(self._cycle)}

    def _is_complete(self) -> bool:
        """Whether all places that can be filled have a worker that serves."""
        serving = self._serving()
        return bool(serving) and (serving | self._failed).issuperset(self._places_of_workers)

    def _when(self, holds: Callable[[], bool], action: Callable[[], None], pause: float = _FIRST_LOOK) -> None:
        """Call `action` as soon as `holds` returns true, if workers are still wanted then."""
        if not self._wanted:
            return
        self._children.hear()
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
        """Start the missing processes, until the system refuses one."""
        self._postponed = False
        for place in (*(Place(helper, 0) for helper in _helpers(self._cycle)), *self._places_of_workers):
            self._fill(place, self._cycle)

    def _fill(self, place: Place, cycle: Cycle) -> None:
        """Start the process of this place, if it is missing. When the system refuses one, all missing ones wait."""
        if (
            self._postponed
            or place in self._failed
            or self._children.are_in(place, cycle)
            or not self._is_wanted(place, cycle)
        ):
            return
        helpers = [helper for helper in _helpers(cycle) if helper.hears] if place.kind is Worker else ()
        error = self._children.spawn(cycle, place, self._cycle, helpers)
        if error is None:
            self._refusals.end(place)
            self._children.giving.now()
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
    """How often in a row the system has refused to start a process."""

    __slots__ = ("_begun", "_count", "_pause")

    def __init__(self) -> None:
        self._begun = False  # whether a worker has ever been started
        self._count = 0
        self._pause = _FIRST_RETRY

    def end(self, place: Place) -> None:
        """The process of that place has been started."""
        self._begun = self._begun or place.kind is Worker
        self._count, self._pause = 0, _FIRST_RETRY

    def are_final(self, error: OSError) -> bool:
        """Whether it is of no use to wait: without a worker, nothing of ours will free descriptors."""
        return error.errno == EMFILE and not self._begun

    def pause(self, log: Log) -> float:
        """Seconds until the next try, which are logged."""
        pause = self._pause
        self._count += 1
        self._pause = min(pause * 2, _LAST_RETRY)
        refused = counted(self._count, "time")
        log.write(Level.NOTICE, f"try again to start worker processes after {pause * 1000:.0f}ms, refused {refused}")
        return pause


class _Termination:
    """Ends all processes, the workers first: helpers take their last messages, and are ended then."""

    __slots__ = ("_after", "_children", "_delay")

    def __init__(self, children: Children, after: After) -> None:
        self._after = after
        self._children = children
        self._delay = _FIRST_TERM_DELAY

    def insist(self) -> None:
        """Send SIGTERM repeatedly, at growing intervals, and at last SIGKILL."""
        late = self._delay > _LAST_TERM_DELAY
        works = any(map(_works, self._children))
        self._children.signal(signal.SIGKILL if late else signal.SIGTERM, lambda child: _works(child) or not works)
        self._after(self._delay, self.insist)
        self._delay *= 2


def _works(child: Child) -> bool:
    """Whether it is a worker, not a helper."""
    return child.place.kind is Worker


def _send_kick(children: Children, row: int, kick: Kick) -> bool:
    """Whether the worker that writes that row of shared zones has got the message, or is gone."""
    return all(send_kick(child.link, kick) for child in children if child.row == row and _works(child))


def process_of(child: Child) -> Process:
    """What the status process shows of a child."""
    return Process(child.pid, child.row, child.place.number, _works(child), child.leaving)


def _note(ended: Exit, child: Child, present: Cycle) -> None:
    """Log that a child has ended, and count it if it had not been told to."""
    ended.log(present.log)
    if _works(child) and not child.leaving and present.board is not None:
        present.board.add(respawns(bool(ended.signal)))


def _outlasts(child: Child) -> bool:
    """Whether it is a helper that a former cycle needs while it has workers."""
    return issubclass(child.place.kind, Helper) and child.place.kind.outlasts


def _helpers(cycle: Cycle) -> list[type[Helper]]:
    """The helpers that a cycle needs."""
    return [helper for helper in HELPERS if helper.is_wanted(cycle)]
