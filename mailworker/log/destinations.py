"""The open destinations of a cycle's access logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mailworker.config.destinations import AccessLogFile, AccessLogPattern, Destination
from mailworker.log.log import Log
from mailworker.log.losses import Losses
from mailworker.log.patterns import PatternWriter
from mailworker.log.sinks import FileSink
from mailworker.log.writing import FileWriter, SyslogWriter, Writer
from mailworker.model import After, Level


class Destinations:
    """Writes lines to their destinations. `files` returns the file of a literal path, which the master has opened.

    It is also the `LineSink` of a single process, which writes its lines itself.
    """

    __slots__ = ("_appenders", "_losses", "_waiting", "_writers", "direct")

    def __init__(
        self, settings: Sequence[Destination], files: Callable[[Path], FileSink], log: Log, after: After
    ) -> None:
        self._losses: list[Losses] = []
        self._waiting: dict[Writer, None] = {}  # writers that have taken lines since the last pause
        self._writers = [self._writer(destination, files, log, after) for destination in settings]
        self._appenders = [each.appender if isinstance(each, FileWriter) else None for each in self._writers]
        self.direct = tuple(None if each is None else each.direct for each in self._appenders)

    def __len__(self) -> int:
        return len(self._writers)

    @property
    def folders(self) -> list[int]:
        """The descriptors of folders below which files are opened later."""
        folders = [writer.folder for writer in self._writers if isinstance(writer, PatternWriter)]
        return [folder for folder in folders if folder is not None]

    @property
    def losses(self) -> Sequence[Losses]:
        """The lost lines of each destination."""
        return self._losses

    def send(self, destination: int, path: bytes, line: bytes) -> None:
        """See `LineSink.send`; the line is written at once, unless the destination has a buffer."""
        writer = self._writers[destination]
        writer.take(path, line)
        writer.pause()

    def delay(self, destination: int, line: bytes, taken: int, error: OSError | None) -> None:
        """See `LineSink.delay`."""
        appender = self._appenders[destination]
        assert appender is not None
        appender.delay(line, taken, error)

    def take(self, destination: int, path: bytes, line: bytes) -> None:
        """Take a line; raises IndexError without such a destination."""
        writer = self._writers[destination]
        writer.take(path, line)
        self._waiting[writer] = None

    def pause(self) -> None:
        """Write the lines that are not buffered, as there are no more lines for now."""
        for writer in self._waiting:
            writer.pause()
        self._waiting.clear()

    def end_files(self) -> None:
        """Write all pending lines, as the files are about to be reopened."""
        for writer in self._writers:
            writer.end_files()

    def close(self) -> None:
        """Write all pending lines, and log how many were lost, before the process ends."""
        self.end_files()
        for losses in self._losses:
            losses.report()

    def _writer(self, destination: Destination, files: Callable[[Path], FileSink], log: Log, after: After) -> Writer:
        is_file = isinstance(destination, AccessLogFile | AccessLogPattern)
        losses = Losses(log, after, Level.ALERT if is_file else Level.WARN)  # nginx's levels
        self._losses.append(losses)
        if isinstance(destination, AccessLogFile):
            return FileWriter(destination, files(destination.path), losses, after)
        if isinstance(destination, AccessLogPattern):
            return PatternWriter(destination, losses)
        return SyslogWriter(destination, losses)
