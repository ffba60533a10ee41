"""Logs that are about to be begun anew: another process opens them first, as the main one must not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Generator

from mailworker.errors import StartError
from mailworker.model import Level
from mailworker.process.cycle import Cycle
from mailworker.process.reading import Reader, open_logs_first


class Reopening:
    """Tries the log files of `cycle`.

    `after(seconds, action)` arranges for a call later; `finished` gets None when the files can be opened without a
    wait, or else why they should stay as they are.
    """

    __slots__ = ("_after", "_cycle", "_finished", "_reader", "_steps")

    def __init__(
        self,
        cycle: Cycle,
        after: Callable[[float, Callable[[], None]], None],
        finished: Callable[[StartError | None], None],
    ) -> None:
        self._after = after
        self._cycle = cycle
        self._finished = finished
        self._reader: Reader[None] | None = None
        self._steps: Generator[float, None, None] | None = None

    def run(self) -> None:
        """Begin; `finished` may be called before this returns."""
        log, files = self._cycle.log, self._cycle.logs.files
        log.write(Level.NOTICE, "reopening logs")
        if not files:
            self._finished(None)
            return
        try:
            self._reader = Reader(open_logs_first(files))
        except StartError as error:  # logs are rotated where the system is short of processes too
            log.write(Level.ALERT, str(error))
            self._finished(None)
            return
        self._steps = self._reader.read(log)
        self._go_on()

    def abandon(self) -> None:
        """Give up; `finished` is not called any more."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def leave(self) -> None:
        """In a worker that is started meanwhile: give back what only the master goes on with."""
        if self._reader is not None:
            self._reader.leave()

    def _go_on(self) -> None:
        if self._steps is None:
            return  # abandoned while it waited
        try:
            pause = next(self._steps)
        except StopIteration:
            self._finished(None)
        except StartError as error:
            self._finished(error)
        else:
            self._after(pause, self._go_on)
