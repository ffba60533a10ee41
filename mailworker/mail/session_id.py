"""The id of a session for the logs of mailworker, the auth service and the backend.

native/mail/session_id.c has `Identifier` in C.
"""

from __future__ import annotations

import os
import time
from binascii import b2a_base64
from functools import cache
from typing import TYPE_CHECKING

from mailworker.native.core import accelerator

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def packed_id(began: float, process: int, accepted: float, number: int, /) -> bytes:
    """16 letters, digits, "-" and "_": 6 bytes of the time in ms, 2 of the process, 4 of the connection's number.

    `accepted` is in seconds since `began`, which is a time in ms.
    """
    time_, process_, number_ = int(began + accepted * 1000) & 0xFFFFFFFFFFFF, process & 0xFFFF, number & 0xFFFFFFFF
    packed = (time_ << 48 | process_ << 32 | number_).to_bytes(12, "big")
    return b2a_base64(packed, newline=False).translate(_URL_SAFE)


class Identifier:
    """Gives the ids of the sessions of one process; `began` and `process` are the first arguments of `packed_id`."""

    __slots__ = ("_began", "_process")

    def __init__(self, began: float, process: int, /) -> None:
        self._began, self._process = began, process

    def __call__(self, accepted: float, number: int, /) -> bytes:
        """The id of a session, see `packed_id`."""
        return packed_id(self._began, self._process, accepted, number)


if accelerator is not None and not TYPE_CHECKING:
    Identifier = accelerator.Identifier


@cache
def clock_and_process() -> tuple[float, int]:
    """The first two arguments of `packed_id` for this process: the start of the loop's clock, and the process's id.

    They are computed once, as a session's id must not change; the first call is in a worker.
    """
    return (time.time() - time.monotonic()) * 1000, os.getpid()
