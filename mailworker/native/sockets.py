"""Stream sockets by their descriptors, which never block."""

from __future__ import annotations

from mailworker.native._sockets import accept, dial, end_output, local_address, peek, recv, send, send_at_once

__all__ = ["accept", "dial", "end_output", "local_address", "peek", "recv", "send", "send_at_once"]
