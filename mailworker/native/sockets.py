"""Stream sockets by their descriptors, which never block."""

from __future__ import annotations

from mailworker.native._sockets import accept, dial, local_address, peek, send_at_once

__all__ = ["accept", "dial", "local_address", "peek", "send_at_once"]
