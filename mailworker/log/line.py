"""A line of the error log, as nginx writes it."""

from __future__ import annotations

import os
import re
import threading
import time

from mailworker.config.settings import Level

# Bytes of the longest record, its LF included; nginx's NGX_MAX_ERROR_STR.
MAX_LINE = 2048

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Beyond the control bytes: what could end a quoted value, C1 controls and separators that terminals obey, and
# what was no UTF-8.
_UNTRUSTED = re.compile(r'[\x00-\x1f\x7f-\x9f"\\\u2028\u2029\ud800-\udfff]')


def escape(value: bytes | str) -> str:
    r"""A value that somebody else chose, fit for a log line: what could forge or disturb a record becomes \xXX."""
    text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
    return _UNTRUSTED.sub(_escape_match, text)


def describe(error: OSError) -> str:
    """The end of nginx's messages about failed system calls: "(2: No such file or directory)"."""
    number = error.errno or 0
    return f"({number}: {os.strerror(number) if number else error})"


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
            f"{number}{_CONTROL.sub(_escape_match, message)}"
        )
        return line.encode("utf-8", "backslashreplace")[: MAX_LINE - 1] + b"\n"

    def _time(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(second))
        return self._stamp


def _escape_match(match: re.Match[str]) -> str:
    character = match[0]
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) & 0xFF:02X}"
    return "".join(f"\\x{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
