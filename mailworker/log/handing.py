"""Sending lines of access logs from workers to the log writer, as packets of a channel."""

from __future__ import annotations

import errno
import os
import re
import socket
from struct import Struct
from typing import Final

from mailworker.log.line import describe
from mailworker.log.losses import Losses
from mailworker.native.core.written import Direct

LONGEST_LINE: Final = 1 << 17
"""Bytes of the longest line; with its path it fits into a channel of every system, and the log writer's buffer."""

# The most bytes of a quoted value in a line that is too long, with the first quote.
_LONGEST_VALUE: Final = 1 << 13
# The second quote is optional, or the search for it would take quadratic time for a hostile value.
_QUOTED: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_WHOLE: Final = re.compile(rb'"[^"\\]*(?:\\(?:u[0-9A-F]{4}|x[0-9A-F]{2}|[^ux])[^"\\]*)*', re.DOTALL)
_LAST_CHARACTER: Final = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,3}\Z")

# The index of the destination, and the length of the path in bytes.
_HEADER: Final = Struct("=HH")


class HandingSink:
    """A `LineSink` that sends lines to the log writer. The kernel keeps a sent line even if a process dies."""

    __slots__ = ("_channel", "_losses", "descriptor", "direct")

    def __init__(self, channel: socket.socket, destinations: int, losses: Losses) -> None:
        self._channel = channel
        self._losses = losses
        self.descriptor = channel.fileno()
        self.direct = tuple(Direct(self, _HEADER.pack(index, 0), LONGEST_LINE) for index in range(destinations))

    def send(self, destination: int, path: bytes, line: bytes) -> None:
        """See `LineSink.send`."""
        if len(line) > LONGEST_LINE:
            line = shortened(line)
        try:
            os.write(self.descriptor, _HEADER.pack(destination, min(len(path), 0xFFFF)) + path + line)
        except OSError as error:
            self._lose(error)

    def delay(self, destination: int, line: bytes, taken: int, error: OSError | None) -> None:
        """See `LineSink.delay`: a packet is sent completely or not at all; if it is too long, it is refused."""
        if error is not None and error.errno == errno.EMSGSIZE:
            self.send(destination, b"", line)
        else:
            self._lose(error or OSError())

    def _lose(self, error: OSError) -> None:
        self._losses.add(1, f"write() to log writer failed {describe(error)}")


def shortened(line: bytes) -> bytes:
    """A line that ends in LF, with at most LONGEST_LINE bytes. Quoted values are shortened, so JSON remains valid."""
    line = _QUOTED.sub(_cut, line[:-1])
    return line[: LONGEST_LINE - 1] + b"\n"


def _cut(value: re.Match[bytes]) -> bytes:
    """The value, or its beginning, without an incomplete escape or character."""
    if value.end() - value.start() <= _LONGEST_VALUE:
        return value[0]
    whole = _WHOLE.match(value.string, value.start(), value.start() + _LONGEST_VALUE)
    assert whole is not None
    return _LAST_CHARACTER.sub(b"", whole[0]) + b'"'


def unpack(packet: memoryview) -> tuple[int, bytes, bytes] | None:
    """The destination, path and line in a packet; None for an invalid packet."""
    if len(packet) < _HEADER.size:
        return None
    destination, length = _HEADER.unpack_from(packet)
    start = _HEADER.size + length
    path, line = bytes(packet[_HEADER.size : start]), bytes(packet[start:])
    return (destination, path, line) if line.endswith(b"\n") else None  # a path cut short leaves no line
