"""What a session is called in the logs of mailworker, the auth service and the backend."""

from __future__ import annotations

import os
import time
from binascii import b2a_base64
from functools import lru_cache

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


@lru_cache(maxsize=1)
def _process() -> tuple[float, int]:
    """When the loop's clock began, in ms of the time, and this process's part of an id.

    Looked up once, as a session's id must not change; a worker is the first to ask.
    """
    return (time.time() - time.monotonic()) * 1000, (os.getpid() & 0xFFFF) << 32


def session_id(accepted: float, number: int) -> bytes:
    """16 letters, digits, "-" and "_": 6 bytes of the time in ms, 2 of the process, 4 of the connection's number.

    `accepted` is a time of the loop's clock.
    """
    epoch, process = _process()
    packed = ((int(epoch + accepted * 1000) & 0xFFFFFFFFFFFF) << 48 | process | number & 0xFFFFFFFF).to_bytes(12, "big")
    return b2a_base64(packed, newline=False).translate(_URL_SAFE)
