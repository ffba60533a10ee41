"""Writing lines of access logs. If a destination is slow, full or dead, lines are lost and counted.

An incomplete line at the end of a full disk is completed, before any other line, as soon as there is room.
"""

from __future__ import annotations

import errno
import os
import time
import zlib
from typing import Protocol

from mailworker.config.destinations import AccessLogFile
from mailworker.config.syslog import SyslogServer
from mailworker.log.line import describe
from mailworker.log.losses import Losses
from mailworker.log.sinks import FileSink, SyslogSink
from mailworker.model import After
from mailworker.native.core.written import Direct

_GZIP = 16 + zlib.MAX_WBITS  # zlib.h: with gzip's header


class Opened(Protocol):
    """An open file."""

    @property
    def descriptor(self) -> int: ...
    @property
    def path(self) -> object: ...


class Writer(Protocol):
    """Takes the lines of one destination."""

    def take(self, path: bytes, line: bytes) -> None:
        """Take a line, which ends in LF; for `path` see `LineSink.send`."""

    def pause(self) -> None:
        """Write the lines that are not buffered, as there are no more lines for now."""

    def end_files(self) -> None:
        """Write all pending lines, as the files are about to be reopened, or the process ends."""


class Appender:
    """Appends to a file. `whole`: data is useless without its end.

    `direct` appends single lines; one that was not written completely must be reported to `delay`.
    """

    __slots__ = ("_full_second", "_losses", "_rest", "_sink", "_whole", "direct")

    def __init__(self, sink: Opened, losses: Losses, *, whole: bool = False) -> None:
        self._full_second = 0
        self._losses = losses
        self._rest = b""  # the end of an incomplete line
        self._sink = sink
        self._whole = whole
        self.direct = Direct(sink)

    def delay(self, line: bytes, taken: int, error: OSError | None) -> None:
        """See `LineSink.delay`."""
        if error is None:
            self._write(line[taken:], line, 1)
        else:
            self._fail(error, line[taken:], line, 1)

    def append(self, data: bytes, lines: int) -> None:
        """Write `data`, which has `lines` lines. When the disk is full, there is no further try in the same second."""
        if self._full_second and int(time.time()) == self._full_second:
            self.lose(lines, OSError(errno.ENOSPC, ""))
            return
        self._write(self._rest + data, data, lines)

    def _write(self, left: bytes, data: bytes, lines: int) -> None:
        try:
            taken = os.write(self._sink.descriptor, left)
            while taken < len(left):
                left = left[taken:]
                taken = os.write(self._sink.descriptor, left)
        except OSError as error:
            self._fail(error, left, data, lines)
        else:
            self._full_second, self._rest = 0, b""
            self.direct.held = False

    def _fail(self, error: OSError, left: bytes, data: bytes, lines: int) -> None:
        self._full_second = int(time.time()) if error.errno == errno.ENOSPC else 0
        self.lose(self._keep(left, data, lines), error)
        self.direct.held = bool(self._full_second or self._rest)

    def end_file(self) -> None:
        """Write or drop the end of an incomplete line, as the file is about to be replaced."""
        if self._rest:
            self.append(b"", 0)
        if self._rest:
            self._losses.add(1, f'write() to "{self._sink.path}" was incomplete')
            self._rest = b""
            self.direct.held = bool(self._full_second)

    def _keep(self, left: bytes, data: bytes, lines: int) -> int:
        """Keep the end of an incomplete line; returns the number of lost lines."""
        if len(left) >= len(data):  # nothing of them was written
            self._rest = left[: len(left) - len(data)]
            return lines
        if self._whole:
            self._rest = left
            return 0
        begun = not data[: len(data) - len(left)].endswith(b"\n")
        self._rest = left[: left.index(b"\n") + 1] if begun else b""
        return left.count(b"\n") - begun

    def lose(self, lines: int, error: OSError) -> None:
        """Count and report lines that were not written."""
        if lines:
            self._losses.add(lines, f'write() to "{self._sink.path}" failed {describe(error)}')


class FileWriter:
    """A file with its `buffer`, `flush` and `gzip`. Without a buffer, all present lines are written by one call."""

    __slots__ = ("_after", "_appender", "_flush_awaited", "_lines", "_settings", "_size")

    def __init__(self, settings: AccessLogFile, sink: FileSink, losses: Losses, after: After) -> None:
        self._after = after
        self._appender = Appender(sink, losses, whole=settings.gzip is not None)
        self._flush_awaited = False
        self._lines: list[bytes] = []
        self._settings = settings
        self._size = 0

    @property
    def appender(self) -> Appender | None:
        """The appender for lines that are written at once, None if there is a buffer."""
        return None if self._settings.buffer else self._appender

    def take(self, path: bytes, line: bytes) -> None:
        """See `Writer`. A line that does not fit into the buffer is written alone, as in nginx."""
        buffer = self._settings.buffer
        if buffer and self._size + len(line) > buffer:
            self._flush()
        self._lines.append(line)
        self._size += len(line)
        if buffer and self._size > buffer:
            self._flush()

    def pause(self) -> None:
        """See `Writer`."""
        if not self._settings.buffer:
            self._flush()
        elif self._lines and self._settings.flush_ms is not None and not self._flush_awaited:
            self._flush_awaited = True
            self._after(self._settings.flush_ms / 1000, self._flush_in_time)

    def end_files(self) -> None:
        """See `Writer`."""
        self._flush()
        self._appender.end_file()

    def _flush_in_time(self) -> None:
        self._flush_awaited = False
        self._flush()

    def _flush(self) -> None:
        if not self._lines:
            return
        taken, self._lines, self._size = self._lines, [], 0
        try:
            data = self._packed(taken)
        except MemoryError:
            self._appender.lose(len(taken), OSError(errno.ENOMEM, ""))
        else:
            self._appender.append(data, len(taken))

    def _packed(self, lines: list[bytes]) -> bytes:
        data = b"".join(lines)
        if self._settings.gzip is None:
            return data
        packing = zlib.compressobj(self._settings.gzip, wbits=_GZIP)  # a complete gzip member, so that zcat can read it
        return packing.compress(data) + packing.flush()


class SyslogWriter:
    """A syslog server, reached through a non-blocking socket."""

    __slots__ = ("_losses", "_severity", "_sink")

    def __init__(self, settings: SyslogServer, losses: Losses) -> None:
        self._losses = losses
        self._severity = settings.severity
        self._sink = SyslogSink(settings)

    def take(self, path: bytes, line: bytes) -> None:
        """See `Writer`."""
        error = self._sink.send(self._severity, line)
        if error is not None:
            self._losses.add(1, self._sink.failure(error))

    def pause(self) -> None:
        """Do nothing: no line is pending."""

    def end_files(self) -> None:
        """Do nothing: there are no files."""
