"""The zones of `limit_conn_zone`: counts of connections by a key, which all workers share."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import Final

from mailworker.shm.anonymous import anonymous
from mailworker.shm.conn_table import SECRET_SIZE, WORD, ConnTable
from mailworker.shm.memory_file import borrowed_memory, writable_memory
from mailworker.shm.shared import Shared, Writer, refuse_another_key

USE: Final = "limit_conn_zone"
"""The directive that makes these zones."""

_PAGE: Final = 4096


class Conns(Shared):
    """Counts, and a journal for each process, with a place for each of its connections.

    After a reload or a binary upgrade, the memory of the counts stays in use, as former workers go on counting there.
    The journals are new, as only the master of their processes reads them. A compromised worker can write anything
    there: it can keep clients out, as it could by opening connections.
    """

    __slots__ = ("_file", "_journals", "_memory", "_places", "_row", "_secret", "key", "size")

    kind = "conns"
    layout = 1
    writer = Writer.ALL

    def __init__(self, name: str, size: int, key: str, processes: int, places: int) -> None:
        """`size` is that of the counts in bytes, `places` the connections of a process. Raises StartError."""
        super().__init__(name)
        self.key = key
        self.size = size
        self._places = places
        self._row: int | None = None
        self._secret = secrets.token_bytes(SECRET_SIZE)
        self._memory, self._file = writable_memory(f"{self.kind} {name}", size)
        self._journals = anonymous(max(processes * self._stride, _PAGE))

    @property
    def _stride(self) -> int:
        return -(-self._places * WORD // _PAGE) * _PAGE

    def table(self) -> ConnTable:
        """The table for this process. If it has no row and is killed, its connections remain counted."""
        journal = bytearray(self._places * WORD) if self._row is None else self._journal(self._row)
        return ConnTable(self._memory, self._secret, journal)

    def claim(self, row: int) -> None:
        """See Shared."""
        if (row + 1) * self._stride <= len(self._journals):
            self._row = row

    def free(self, row: int) -> None:
        """See Shared. Uncounts the connections of the process."""
        self.table().let_all_go(self._journal(row))

    @property
    def descriptor(self) -> int | None:
        """See Shared."""
        return None if self._file is None else self._file.descriptor

    @property
    def lent(self) -> tuple[int, ...]:
        """See Shared: workers of another binary count in the same memory."""
        return () if self._file is None else (self._file.descriptor,)

    def follow(self, former: Shared) -> None:
        """See Shared. A zone of another size begins at 0. Raises StartError if the key has changed."""
        assert isinstance(former, Conns)
        refuse_another_key(USE, self.name, self.key, former.key)
        if former.size == self.size:
            self._memory, self._secret = former._memory, former._secret
            self._file = None if former._file is None else former._file.copy()

    def contents(self) -> Iterable[bytes]:
        """See Shared: the lent descriptor, and what is needed to use it."""
        if self._file is not None:
            yield json.dumps([self._file.descriptor, self.size, self.key, self._secret.hex()]).encode()

    def take_over(self, contents: bytes) -> None:
        """See Shared."""
        if not contents:
            return
        descriptor, size, key, secret = json.loads(contents)
        if (size, key) != (self.size, self.key):
            return
        borrowed = borrowed_memory(descriptor, size)
        if borrowed is not None:  # otherwise counts begin at 0
            self._memory, self._file = borrowed
            self._secret = bytes.fromhex(secret)

    def stop_publishing(self) -> None:
        """See Shared. The memory stays mapped, and counting goes on there."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _journal(self, row: int) -> memoryview:
        start = row * self._stride
        return memoryview(self._journals)[start : start + self._places * WORD]


def tables(zones: Iterable[Shared]) -> dict[str, ConnTable]:
    """The tables of a worker, by the names of their zones."""
    return {zone.name: zone.table() for zone in zones if isinstance(zone, Conns)}
