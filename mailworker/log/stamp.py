"""Timestamps of log lines."""

from __future__ import annotations

import time
from collections.abc import Callable

from mailworker.model import MONTHS


class Stamp:
    """The local time, formatted by `form` once in each second."""

    __slots__ = ("_form", "_second", "_text")

    def __init__(self, form: Callable[[time.struct_time], str]) -> None:
        self._form = form
        self._second = -1
        self._text = ""

    def text(self) -> str:
        """The formatted time."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = self._form(time.localtime(second))
        return self._text


def error_log_time(local: time.struct_time) -> str:
    """The time in the format of nginx's error log."""
    return time.strftime("%Y/%m/%d %H:%M:%S", local)


def iso8601_time(local: time.struct_time) -> str:
    """The time in the format of RFC 3339, which is nginx's $time_iso8601."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", local)
    return f"{stamp[:-2]}:{stamp[-2:]}"


def syslog_time(local: time.struct_time) -> str:
    """The time in the format of RFC 3164 (section 4.1.2)."""
    return f"{MONTHS[local.tm_mon - 1]} {local.tm_mday:2d} {time.strftime('%H:%M:%S', local)}"
