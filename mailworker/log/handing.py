"""Sending lines from a worker to the log writer, as packets of a channel."""

from __future__ import annotations

import socket
from struct import Struct
from typing import Final

from mailworker.log.line import describe
from mailworker.log.losses import Losses
from mailworker.native.core.written import Direct, written

# The index of the destination, and the length of the path in bytes.
_HEADER: Final = Struct("=HH")


class HandingSink:
    """A `LineSink` that hands lines to the log writer: the kernel keeps a line from then on, even if a process dies."""

    __slots__ = ("_channel", "_headers", "_losses", "descriptor", "direct")

    def __init__(self, channel: socket.socket, destinations: int, losses: Losses) -> None:
        self._channel = channel
        self._headers = [_HEADER.pack(index, 0) for index in range(destinations)]
        self._losses = losses
        self.descriptor = channel.fileno()
        self.direct = tuple(Direct(self, header) for header in self._headers)

    def send(self, destination: int, path: bytes, line: bytes) -> None:
        """See `LineSink.send`."""
        try:
            if path:
                written(self.descriptor, _HEADER.pack(destination, min(len(path), 0xFFFF)) + path + line)
            else:
                written(self.descriptor, self._headers[destination] + line)
        except OSError as error:
            self._lose(error)

    def delay(self, destination: int, line: bytes, taken: int, error: OSError | None) -> None:
        """See `LineSink.delay`: a packet is taken whole or not at all."""
        self._lose(error or OSError())

    def _lose(self, error: OSError) -> None:
        self._losses.add(1, f"write() to log writer failed {describe(error)}")


def unpack(packet: memoryview) -> tuple[int, bytes, bytes] | None:
    """The destination, path and line of a packet; None for a packet that no sink sends."""
    if len(packet) < _HEADER.size:
        return None
    destination, length = _HEADER.unpack_from(packet)
    start = _HEADER.size + length
    path, line = bytes(packet[_HEADER.size : start]), bytes(packet[start:])
    return (destination, path, line) if len(path) == length and line.endswith(b"\n") else None
