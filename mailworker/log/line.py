"""A line of the error log, as nginx writes it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from errno import ENOMEM
from typing import Protocol

from mailworker.errors import printable
from mailworker.log.stamp import Stamp, error_log_time, iso8601_time
from mailworker.model import Level

# Size of the longest record in bytes, with its LF; nginx's NGX_MAX_ERROR_STR.
MAX_LINE = 2048
# Size of the longest record in JSON: writes of up to PIPE_BUF bytes to a pipe are atomic (pipe(7)).
MAX_JSON = 4096


def describe(error: OSError) -> str:
    """The end of nginx's messages about failed system calls: "(2: No such file or directory)"."""
    number = error.errno or 0
    return f"({number}: {os.strerror(number) if number else error})"


def describe_lack(error: MemoryError | OSError) -> str:
    """As `describe`, also for a lack of memory that Python has noticed."""
    return describe(error if isinstance(error, OSError) else OSError(ENOMEM, ""))


class About(Protocol):
    """The session of a line and its current action, as nginx's text and as members of a JSON object."""

    def suffix(self) -> str: ...
    def members(self) -> Mapping[str, str | bool]: ...


class LineBuilder:
    """Builds lines of the error log."""

    __slots__ = ("_json_stamp", "_stamp")

    def __init__(self) -> None:
        self._json_stamp = Stamp(iso8601_time)
        self._stamp = Stamp(error_log_time)

    def build(self, level: Level, message: str, connection: int | None = None) -> bytes:
        """One record with its LF, at most MAX_LINE bytes: "YYYY/MM/DD HH:MM:SS [level] PID#TID: *CONN MESSAGE".

        Unprintable characters of `message` are escaped, so a record is always one line.
        """
        number = "" if connection is None else f"*{connection} "
        line = (
            f"{self._stamp.text()} [{level.name.lower()}] {os.getpid()}#{threading.get_native_id()}: "
            f"{number}{printable(message)}"
        )
        record = line.encode()
        if len(record) >= MAX_LINE:
            record = record[: MAX_LINE - 1].decode("utf-8", "ignore").encode()  # without half a character
        return record + b"\n"

    def build_json(self, level: Level, message: str, connection: int | None, about: About | None) -> bytes:
        """One record with its LF, at most MAX_JSON bytes: a JSON object with the parts of nginx's lines.

        Absent parts are left out, and long ones are shortened until the record fits.
        """
        members: dict[str, str | int | bool] = {
            "time": self._json_stamp.text(),
            "level": level.name.lower(),
            "pid": os.getpid(),
            "tid": threading.get_native_id(),
        }
        if connection is not None:
            members["connection"] = connection
        members["message"] = message[:MAX_LINE]
        if about is not None:
            members.update(about.members())
        while len(record := _encoded(members)) > MAX_JSON:
            longest = max(members, key=lambda name: len(str(members[name])))
            text = str(members[longest])
            members[longest] = text[: len(text) // 2]
        return record


def _encoded(members: Mapping[str, str | int | bool]) -> bytes:
    text = json.dumps(members, ensure_ascii=False)
    if not text.isprintable():  # control characters must not reach a terminal
        text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
    return text.encode() + b"\n"
