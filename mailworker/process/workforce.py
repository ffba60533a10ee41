"""The workers of the present cycle, and those of former ones that are leaving."""

from __future__ import annotations

import signal
from collections.abc import Callable
from time import monotonic

from mailworker.config.settings import Level
from mailworker.process.children import Child, Children, Exit
from mailworker.process.cycle import Cycle

# nginx's, in seconds: after the first SIGTERM, doubling; past the last one SIGKILL follows.
_FIRST_TERM_DELAY = 0.05
_LAST_TERM_DELAY = 1.0


class Workforce:
    """A number of places, counted from 0, each kept filled with a worker of the present cycle while that is wanted.

    `after(seconds, action)` arranges for a call later.
    """

    __slots__ = ("_after", "_children", "_cycle", "_places", "_term_delay", "_wanted")

    def __init__(self, cycle: Cycle, children: Children, after: Callable[[float, Callable[[], None]], None]) -> None:
        self._after = after
        self._children = children
        self._cycle = cycle
        self._places = cycle.workers
        self._term_delay = 0.0
        self._wanted = False

    def __len__(self) -> int:
        """How many processes run, leaving ones included."""
        return len(self._children)

    @property
    def status(self) -> str:
        """What there is, for people."""
        return f"Serving with {self._places} worker processes"

    def start(self) -> None:
        """Fill all places from now on."""
        self._cycle.log.write(Level.NOTICE, "start worker processes")
        self._wanted = True
        for number in range(self._places):
            self._fill(number)

    def follow(self, cycle: Cycle) -> None:
        """Work for another cycle, with as many workers as it wants; the old ones are not told yet."""
        self._cycle = cycle
        self._places = cycle.workers
        self.start()

    def add(self) -> None:
        """Have one worker more, until the configuration is read again."""
        self._places += 1
        self._fill(self._places - 1)

    def remove(self) -> None:
        """Have one worker less, until the configuration is read again; the last one stays."""
        if self._places > 1:
            self._places -= 1
            self._children.shut_down(lambda child: self._is_present(child) and child.number >= self._places)

    def dismiss_former(self) -> None:
        """Tell the workers of former cycles to finish."""
        self._children.shut_down(lambda child: child.cycle is not self._cycle)

    def dismiss(self) -> None:
        """Tell all workers to finish, and fill no place until `start`."""
        self._wanted = False
        self._children.shut_down()

    def terminate(self) -> None:
        """Send SIGTERM again and again, in growing intervals, and SIGKILL to whoever is deaf."""
        self._wanted = False
        self._term_delay = _FIRST_TERM_DELAY
        self._insist()

    def hand_out_logs(self) -> None:
        """Give all workers the log files that the cycle has begun anew."""
        self._children.hand_out_logs(self._cycle.log_files)

    def reap(self) -> list[Exit]:
        """Replace workers that have ended but are needed; returns those children that were no workers."""
        others = []
        for ended in self._children.reap():
            child = ended.child
            if child is None:
                others.append(ended)
                continue
            ended.log(self._cycle.log)
            if not ended.fatal and self._is_present(child):
                self._replace(child)
        return others

    def close(self) -> None:
        """Give back what belongs to no worker."""
        self._children.close()

    def _is_present(self, child: Child) -> bool:
        return child.cycle is self._cycle and not child.leaving

    def _replace(self, child: Child) -> None:
        pause = self._children.pause(child, monotonic())
        if pause:
            self._after(pause, lambda: self._fill(child.number))
        else:
            self._fill(child.number)

    def _fill(self, number: int) -> None:
        """Start worker `number` if it is wanted and not there."""
        taken = any(child.number == number and self._is_present(child) for child in self._children)
        if self._wanted and number < self._places and not taken:
            self._children.spawn(self._cycle, number, monotonic())

    def _insist(self) -> None:
        late = self._term_delay > _LAST_TERM_DELAY
        self._children.signal(signal.SIGKILL if late else signal.SIGTERM)
        self._after(self._term_delay, self._insist)
        self._term_delay *= 2
