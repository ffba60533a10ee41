"""A worker's rows of the session table; native/shm/rows.c has it in C."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from mailworker.model import UnixAddress
from mailworker.native.core import accelerator
from mailworker.shm.session_row import (
    LAYOUT,
    LONGEST_NAME,
    ROW,
    UNIX,
    WORDS,
    Fields,
    State,
    checksum,
    keep,
    keep_socket,
)
from mailworker.shm.sessions import UNLISTED, USED

__all__ = ["NO_ROW", "Rows"]

NO_ROW: Final = -1
"""The row of a session that has none: writing to it does nothing."""

_EMPTY: Final = Fields(*(0,) * 12, *(bytes(12), bytes(16), bytes(16)), bytes(LONGEST_NAME))
_MASK: Final = 0xFFFFFFFF
_WRAP: Final = (1 << 64) - 1
_WORDS: Final = ROW // 4
# Bytes after which a relay writes its byte counts, even within a second.
_STEP: Final = 1 << 20


class _Writing:
    """What both implementations write in Python."""

    __slots__ = ()

    _rows: memoryview

    if TYPE_CHECKING:

        def owner(self, row: int, /) -> Any: ...

    def serve(self, row: int, server: int, /) -> None:
        """Write another server, which serves the session from now on."""
        self._change(row, server=server)

    def reject(self, row: int, now: float, /) -> None:
        """The login was refused; the client may try again, perhaps at another backend."""
        self._change(row, mark=State.LOGIN, active=int(now), backend=bytes(16), backend_port=0)

    def relay(self, row: int, now: float, /) -> None:
        """The session is logged in."""
        if row != NO_ROW:
            mark = State.RELAY | (self._read(row).mark & UNIX)
            self._change(row, mark=mark, active=int(now), logged_in=int(now))

    def note(self, row: int, received: int, sent: int, now: float, /) -> None:
        """Write how many bytes were received from the client and sent to it; most of these calls write nothing."""
        if row == NO_ROW:
            return
        known, seconds = self._read(row), int(now)
        moved = received + sent - known.received - known.sent
        if seconds != known.active or not 0 <= moved < _STEP:
            self._change(row, received=received, sent=sent, active=seconds)

    def _read(self, row: int) -> Fields:
        if self.owner(row) is None:
            raise IndexError(row)
        return Fields._make(LAYOUT.unpack_from(self._rows, row * ROW))

    def _change(self, row: int, **changes: Any) -> None:
        if row != NO_ROW:
            self._write(row, self._read(row)._replace(**changes))

    def _write(self, row: int, fields: Fields) -> None:
        """Write a whole row; its sequence number is odd meanwhile."""
        place, words = row * _WORDS, self._rows.cast("I")
        number = words[place]
        data = LAYOUT.pack(*fields)
        words[place] = number | 1
        words[place + 1] = checksum(WORDS.unpack(data))
        self._rows[row * ROW + 8 : (row + 1) * ROW] = data[8:]
        words[place] = ((number | 1) + 1) & _MASK


class Rows(_Writing):
    """Writes rows, of which it is the only writer, and knows their owners from memory of its own, not shared memory.

    Times are seconds of the loop's clock. Raises IndexError for a row that is not there.
    """

    __slots__ = ("_began", "_free", "_head", "_owners", "_process", "_rows")

    def __init__(self, head: memoryview, rows: memoryview, began: float, process: int, /) -> None:
        """`head` and `rows` are those of `SessionTable.own`. `began`, in ms, and `process` are parts of session ids."""
        self._head = head.cast("Q")
        self._rows = rows
        self._began = began
        self._process = process
        self._free: list[int] = []
        self._owners: list[Any] = []

    def open(self, owner: object, number: int, accepted: float, server: int, client: object, /) -> int:
        """Begin a row for `owner`, connection `number`; returns the row, NO_ROW if all are taken.

        `client` is an InetAddress, or anything else for a client of a unix socket.
        """
        if self._free:
            row = self._free.pop()
        elif len(self._owners) < len(self._rows) // ROW:
            row = len(self._owners)
            self._owners.append(None)
            self._head[USED] = row + 1
        else:
            self._leave_out(1)
            return NO_ROW
        self._owners[row] = owner
        milliseconds = int(self._began + accepted * 1000) & 0xFFFFFFFFFFFF
        packed = milliseconds << 48 | (self._process & 0xFFFF) << 32 | (number & _MASK)
        seconds, (address, port) = int(accepted), _packed(client)
        self._write(
            row,
            _EMPTY._replace(
                active=seconds,
                accepted=seconds,
                server=server,
                client_port=port,
                mark=State.LOGIN,
                id=packed.to_bytes(12, "big"),
                client=address,
            ),
        )
        return row

    def owner(self, row: int, /) -> Any:
        """The owner of a row, None if it has none."""
        return self._owners[row] if 0 <= row < len(self._owners) else None

    def pass_on(self, row: int, owner: object, /) -> None:
        """Give the row another owner; nothing is written."""
        if row != NO_ROW:
            self._read(row)
            self._owners[row] = owner

    def move(self, row: int, client: object, /) -> None:
        """Write another address of the client, which a balancer in front has sent; see `open`."""
        address, port = _packed(client)
        self._change(row, client=address, client_port=port)

    def ask(self, row: int, name: bytes, now: float, /) -> None:
        """A login with user `name` is being checked."""
        length, kept = keep(name)
        self._change(row, mark=State.AUTH, active=int(now), length=length, name=kept)

    def dial(self, row: int, address: object, now: float, /) -> None:
        """Connecting to a backend: an InetAddress, a UnixAddress, or None if it is not known yet."""
        mark: int = State.BACKEND
        backend, port = _packed(address)
        if isinstance(address, UnixAddress):
            mark |= UNIX
            backend = keep_socket(address)
        self._change(row, mark=mark, active=int(now), backend=backend, backend_port=port)

    def close(self, row: int, /) -> None:
        """The session has ended, with a row or with NO_ROW."""
        if row == NO_ROW:
            self._leave_out(-1)
            return
        self._read(row)
        self._owners[row] = None
        self._free.append(row)
        self._write(row, _EMPTY)

    def _leave_out(self, more: int) -> None:
        self._head[UNLISTED] = (self._head[UNLISTED] + more) & _WRAP


def _packed(address: object) -> tuple[bytes, int]:
    """An address of 16 bytes and a port; zeros for what is no IP address."""
    if not isinstance(address, tuple):
        return bytes(16), 0
    host, port = address
    try:
        if ":" in host:
            return socket.inet_pton(socket.AF_INET6, host.partition("%")[0]), port
        return bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, host), port
    except OSError:
        return bytes(16), port


if accelerator is not None and not TYPE_CHECKING:

    class Rows(accelerator.Rows, _Writing):
        """Rows in C; C notes what relays need without these methods."""

        __slots__ = ()
