"""What a session is called in the logs of mailworker, the auth service and the backend."""

from __future__ import annotations

import base64
import os
import time
from functools import lru_cache


@lru_cache(maxsize=1)
def _epoch() -> float:
    """When the loop's clock began, in seconds of the time; looked up once, as a session's id must not change."""
    return time.time() - time.monotonic()


def session_id(accepted: float, number: int) -> bytes:
    """16 letters, digits, "-" and "_": 6 bytes of the time in ms, 2 of the process, 4 of the connection's number.

    `accepted` is a time of the loop's clock.
    """
    moment = int((_epoch() + accepted) * 1000) & 0xFFFFFFFFFFFF
    packed = (moment << 48 | (os.getpid() & 0xFFFF) << 32 | number & 0xFFFFFFFF).to_bytes(12, "big")
    return base64.urlsafe_b64encode(packed)
