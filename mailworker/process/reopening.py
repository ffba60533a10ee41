"""Reopening logs: a child opens them first, so that the main process does not have to wait for them."""

from __future__ import annotations

from collections.abc import Callable, Generator

from mailworker.errors import StartError
from mailworker.model import After, Level
from mailworker.process.cycle import Cycle
from mailworker.process.reading import Reader, open_logs_first
from mailworker.process.steps import UnderWay


class Reopening(UnderWay[StartError | None]):
    """Tries the log files of `cycle`.

    `finished` gets None when the files can be opened without waiting, or else the reason to leave them as they are.
    """

    __slots__ = ("_cycle", "_reader")

    def __init__(
        self,
        cycle: Cycle,
        after: After,
        finished: Callable[[StartError | None], None],
    ) -> None:
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
        except StartError as error:  # logs are rotated even where the system can start no more processes
            log.write(Level.ALERT, str(error))
            return None
        try:
            yield from self._reader.read(log)
        except StartError as error:
            return error
        return None
