"""Stream sockets by their descriptors, which never block."""

from __future__ import annotations

from errno import EAGAIN, EWOULDBLOCK
from typing import Final

from mailworker.native.core._sockets import accept, dial, keep_alive, local_address, no_delay, peek

__all__ = ["WOULD_BLOCK", "accept", "dial", "keep_alive", "local_address", "no_delay", "peek"]

WOULD_BLOCK: Final = (-EAGAIN, -EWOULDBLOCK)
"""What a call gives that would have to wait."""
