"""A line of the error log, as nginx writes it."""

from __future__ import annotations

import os
import re
import threading
import time

from mailworker.errors import escape_character
from mailworker.model import Level

# Bytes of the longest record, its LF included; nginx's NGX_MAX_ERROR_STR.
MAX_LINE = 2048

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def describe(error: OSError) -> str:
    """The end of nginx's messages about failed system calls: "(2: No such file or directory)"."""
    number = error.errno or 0
    return f"({number}: {os.strerror(number) if number else error})"


def _escape(match: re.Match[str]) -> str:
    return escape_character(match[0])


class LineBuilder:
    """Builds lines; the formatted time is kept for the second it is good for."""

    __slots__ = ("_second", "_stamp")

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""

    def build(self, level: Level, message: str, connection: int | None = None) -> bytes:
        """One record with its LF, at most MAX_LINE bytes: "YYYY/MM/DD HH:MM:SS [level] PID#TID: *CONN MESSAGE".

        Control bytes in `message` are escaped, so a record is always one line.
        """
        number = "" if connection is None else f"*{connection} "
        line = (
            f"{self._time()} [{level.name.lower()}] {os.getpid()}#{threading.get_native_id()}: "
            f"{number}{_CONTROL.sub(_escape, message)}"
        )
        record = line.encode("utf-8", "backslashreplace")
        if len(record) >= MAX_LINE:
            record = record[: MAX_LINE - 1].decode("utf-8", "ignore").encode()  # no character is cut in two
        return record + b"\n"

    def _time(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(second))
        return self._stamp
