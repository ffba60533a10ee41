"""Bytes that both ends of a connection can foretell, so that either sees a single wrong one."""

from __future__ import annotations

import hashlib
import random
from asyncio import StreamReader, StreamWriter

PIECE = 65536

# No multiple of any buffer's size: a piece that is lost, doubled or out of place shows.
_PERIOD = 65521


class Stream:
    """The endless stream of a seed, taken piece by piece."""

    __slots__ = ("_block", "_position", "_seen", "length")

    def __init__(self, seed: int) -> None:
        self.length = 0  # of what was checked
        self._block = random.Random(seed).randbytes(_PERIOD)
        self._position = 0
        self._seen = hashlib.sha256()

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self._position % _PERIOD
        self._position += size
        repeated = self._block * (1 + (start + size) // _PERIOD)
        return repeated[start : start + size]

    def receive(self, data: bytes) -> None:
        """Remember what came over the network."""
        self._seen.update(data)
        self.length += len(data)

    @property
    def digest(self) -> str:
        """SHA-256 of all that was received."""
        return self._seen.hexdigest()

    @property
    def is_right(self) -> bool:
        """Whether all that was received is how the stream begins."""
        expected = hashlib.sha256()
        whole, rest = divmod(self.length, _PERIOD)
        for _ in range(whole):
            expected.update(self._block)
        expected.update(self._block[:rest])
        return expected.hexdigest() == self.digest


async def send(writer: StreamWriter, stream: Stream, size: int) -> None:
    """Send the next `size` bytes of a stream."""
    while size:
        piece = stream.take(min(PIECE, size))
        writer.write(piece)
        await writer.drain()
        size -= len(piece)


async def receive(reader: StreamReader, stream: Stream, size: int) -> None:
    """Receive `size` bytes; raises EOFError where less come."""
    while size:
        data = await reader.read(min(PIECE, size))
        if not data:
            raise EOFError
        stream.receive(data)
        size -= len(data)
