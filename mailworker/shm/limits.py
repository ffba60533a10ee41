"""The zones of `limit_auth_zone`: entries for keys, which all workers share."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable
from time import monotonic
from typing import Any, Final

from mailworker.shm.anonymous import anonymous, fill
from mailworker.shm.limit_table import SECRET_SIZE, LimitTable
from mailworker.shm.shared import Shared, Writer, refuse_another_key

USE: Final = "limit_auth_zone"
"""The directive that makes these zones."""


class Limits(Shared):
    """Memory for a LimitTable; `key` is the text of the key in the configuration.

    A compromised worker can write anything there: it can ban any client, or allow more tries of passwords. The secret
    is made at the first start, and kept with the zone; without it, the hashes of tried passwords reveal nothing.
    """

    __slots__ = ("_secret", "key", "memory", "size")

    kind = "limits"
    layout = 1
    writer = Writer.ALL

    def __init__(self, name: str, size: int, key: str) -> None:
        """`size` is in bytes; raises StartError if the system has no such memory."""
        super().__init__(name)
        self.size = size
        self.key = key
        self.memory = anonymous(size)
        self._secret = secrets.token_bytes(SECRET_SIZE)

    def table(self, pace: tuple[int, int]) -> LimitTable:
        """A table over the memory; see LimitTable for `pace`."""
        return LimitTable(self.memory, self._secret, pace)

    @property
    def dropped(self) -> int:
        """The number of entries that were evicted although they were not idle; a compromised worker can change it."""
        return int.from_bytes(self.memory[:8], sys.byteorder)

    def contents(self) -> Iterable[bytes | memoryview]:
        """See Shared: the key, the secret, the memory."""
        key = self.key.encode(errors="surrogateescape")
        return (len(key).to_bytes(4, "little"), key, self._secret, memoryview(self.memory))

    def follow(self, former: Shared) -> None:
        """See Shared. Raises StartError if the key has changed."""
        assert isinstance(former, Limits)
        refuse_another_key(USE, self.name, self.key, former.key)
        self._adopt(former._secret, former.memory)

    def take_over(self, contents: bytes) -> None:
        """See Shared."""
        start = 4 + int.from_bytes(contents[:4], "little")
        if contents[4:start].decode(errors="surrogateescape") == self.key and len(contents) > start + SECRET_SIZE:
            self._adopt(contents[start : start + SECRET_SIZE], contents[start + SECRET_SIZE :])

    def _adopt(self, secret: bytes, memory: Any) -> None:
        """Copy the entries of another zone, which may be larger or smaller."""
        self._secret = secret
        if len(memory) == self.size:
            fill(self.memory, memory)
        else:
            self.table(_SLOW).adopt(memory, monotonic())


# A pace at which no entry with an excess is idle.
_SLOW: Final = (1, 1_000_000)
