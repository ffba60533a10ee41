"""The buffer for bytes of a client that no command has consumed yet."""

from __future__ import annotations

_LF = 0x0A


class CommandBuffer:
    """A buffer for input up to a limit, from which lines are taken.

    Lines that were taken remain in the buffer until `release`, so the limit applies to a command of several lines, but
    not to pipelined commands. A search never examines a byte twice: n bytes cost O(n), however they arrive. The bytes
    of one read are not copied, as most reads contain complete commands; the bytes of incomplete ones are copied to a
    bytearray, which grows without copying.
    """

    __slots__ = ("_bytes", "_limit", "_searched", "_taken")

    def __init__(self, limit: int) -> None:
        self._bytes: bytes | bytearray = b""
        self._limit = limit
        self._taken = 0
        self._searched = 0

    @property
    def room(self) -> int:
        """The number of bytes that `feed` takes now; 0 after `line` returned None means that no line can fit."""
        return self._limit - len(self._bytes)

    @property
    def is_filled(self) -> bool:
        """Whether it contains any bytes."""
        return len(self._bytes) > 0

    @property
    def content(self) -> bytes:
        """All bytes in the buffer: the unfinished command and the bytes after it."""
        return bytes(self._bytes)

    def feed(self, data: bytes) -> None:
        """Append input. Raises ValueError for more than `room`, which is a bug of the caller."""
        if len(data) > self._limit - len(self._bytes):
            raise ValueError(f"{len(data)} bytes fed into room for {self.room}")
        if not self._bytes:
            self._bytes = data
            return
        if isinstance(self._bytes, bytes):
            self._bytes = bytearray(self._bytes)
        self._bytes += data

    def line(self) -> bytes | None:
        """Take the next line with its LF; None while it is incomplete."""
        start, held = self._taken, self._bytes
        if self._searched == len(held):
            return None
        end = held.find(_LF, self._searched) + 1
        if not end:
            self._searched = len(held)
            return None
        self._taken = self._searched = end
        return bytes(held[start:end])

    @property
    def remaining(self) -> int:
        """The number of bytes that the current command may still have."""
        return self._limit - self._taken

    def literal(self, length: int) -> bytes | None:
        """Take exactly `length` bytes of any value; None while they are incomplete."""
        start = self._taken
        end = start + length
        if end > len(self._bytes):
            return None
        self._taken = self._searched = end
        return bytes(self._bytes[start:end])

    def swallow(self, length: int) -> int:
        """Drop up to `length` bytes, when no line is taken; returns how many of them have not arrived yet."""
        missing = max(0, length - len(self._bytes))
        self._bytes = self._bytes[length:]
        self._searched = 0
        return missing

    def release(self) -> None:
        """End the command: free the room of the taken lines."""
        self._bytes = self._bytes[self._taken :]
        self._taken = self._searched = 0

    def clear(self) -> None:
        """Forget everything."""
        self._bytes = b""
        self._taken = self._searched = 0
