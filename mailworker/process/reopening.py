"""Reopening logs: a child opens them first, as that may block."""

from __future__ import annotations

from collections.abc import Callable, Generator

from mailworker.errors import StartError
from mailworker.model import After, Level
from mailworker.process.bug import log_bug
from mailworker.process.cycle import Cycle
from mailworker.process.reading import Reader, open_logs_first
from mailworker.process.steps import UnderWay


class Reopening(UnderWay[StartError | None]):
    """Tries to open the log files of `cycle`.

    `finished` is called with None when they can be opened without waiting, else with the error.
    """

    __slots__ = ("_cycle", "_reader")

    def __init__(self, cycle: Cycle, after: After, finished: Callable[[StartError | None], None]) -> None:
        super().__init__(after, finished)
        self._cycle = cycle
        self._reader: Reader[None] | None = None

    def leave(self) -> None:
        """See UnderWay."""
        if self._reader is not None:
            self._reader.leave()

    def _work(self) -> Generator[float, None, StartError | None]:
        log, files = self._cycle.log, self._cycle.logs.files
        log.write(Level.NOTICE, "reopening logs")
        if not files:
            return None
        try:
            self._reader = Reader(open_logs_first(files))
        except StartError as error:  # logs must be rotated even if no process can be started
            log.write(Level.ALERT, str(error))
            return None
        try:
            yield from self._reader.read(log)
        except StartError as error:
            return error
        return None

    def _fail(self, bug: Exception) -> None:
        log_bug(self._cycle.log, bug)  # logs must be rotated
