"""What a session is called in the logs of mailworker, the auth service and the backend; native/core/line.c packs it."""

from __future__ import annotations

import os
import time
from binascii import b2a_base64
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mailworker.native.core import accelerator

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


_known: tuple[float, int] | None = None


def _process() -> tuple[float, int]:
    """When the loop's clock began, in ms of the time, and this process.

    Looked up once, as a session's id must not change; a worker is the first to ask.
    """
    global _known  # noqa: PLW0603 - a cached function would take a third of all that an id takes
    _known = (time.time() - time.monotonic()) * 1000, os.getpid()
    return _known


def packed_id(began: float, process: int, accepted: float, number: int, /) -> bytes:
    """16 letters, digits, "-" and "_": 6 bytes of the time in ms, 2 of the process, 4 of the connection's number.

    `accepted` is in seconds since `began`, which is a time in ms.
    """
    time_, process_, number_ = int(began + accepted * 1000) & 0xFFFFFFFFFFFF, process & 0xFFFF, number & 0xFFFFFFFF
    packed = (time_ << 48 | process_ << 32 | number_).to_bytes(12, "big")
    return b2a_base64(packed, newline=False).translate(_URL_SAFE)


if accelerator is not None and not TYPE_CHECKING:
    packed_id = accelerator.packed_id


def clock_and_process() -> tuple[float, int]:
    """What this process's ids are made of: see `packed_id`, which adds what a loop's clock shows."""
    return _known or _process()


def identifier() -> Callable[[float, int], bytes]:
    """What gives the id of a session of this process, see `session_id`, without a call of Python."""
    return partial(packed_id, *(_known or _process()))


def session_id(accepted: float, number: int) -> bytes:
    """What a session is called that was accepted then, by the loop's clock; see `packed_id`."""
    return packed_id(*(_known or _process()), accepted, number)
