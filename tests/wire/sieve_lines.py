"""The reader of a ManageSieve client's bytes: in Python, and in C, where the client's side of a relay has it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol, cast

from mailworker.native.core import accelerator
from mailworker.wire.sieve_line import SieveLine


class Line(Protocol):
    def refuses(self, data: bytes, /) -> bool: ...


Make = Callable[[], Line]


def _in_c() -> Line:
    """A side without a connection, which only reads what it is given."""
    assert accelerator is not None
    loop = accelerator.LoopState(None, monotonic, None)
    stream = accelerator.BaseStream(loop, -1, None, None)
    return cast(Line, accelerator.WatchedSide(None, accelerator.Pump(loop, 0, True), stream, b""))


LINES: dict[str, Make] = {"Python": SieveLine} | ({} if accelerator is None else {"C": _in_c})
