"""The client's end of the control socket."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mailworker.errors import MailworkerError

DEFAULT: Final = Path("/run/mailworker/control.sock")

VARIABLE: Final = "MAILWORKER_CONTROL"
"""The environment variable that names another socket."""

VERSION: Final = 1
"""The version of the protocol."""

_SECONDS: Final = 30.0
_PAGE: Final = 1 << 16
_WIDE_SNDTIMEO: Final = 67  # asm-generic/socket.h: 32-bit systems with times of 64 bits


class NoAnswer(MailworkerError):
    """There is no server, or it has another protocol."""


class _Ended(NoAnswer):
    """The server has closed the connection, as its process is replaced by a reload."""


class Refusal(MailworkerError):
    """The server refuses the request."""


def default_path() -> Path:
    """The default socket."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


class Client:
    """A connection, which the first request makes. `seconds` is the timeout for a line, None for no limit."""

    __slots__ = ("_data", "_path", "_seconds", "_socket", "version")

    def __init__(self, path: Path, seconds: float | None = _SECONDS) -> None:
        self._data = b""
        self._path = path
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self.version = ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        self._data = b""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, command: str, **keys: Any) -> Iterator[dict[str, Any]]:
        """The lines of the answer; the last one has "ok". Keys that are None are left out.

        If the connection ends before the answer begins, as the server's process was replaced, the request is sent once
        more; but not after a timeout, as the server may still execute it. Raises NoAnswer and Refusal.
        """
        request = {"cmd": command, **{key: value for key, value in keys.items() if value is not None}}
        try:
            self._send(request)
            line = self._line()
        except _Ended:
            self.close()
            self._send(request)
            line = self._line()
        while True:
            if "error" in line:
                raise Refusal(str(line["error"]))
            yield line
            if "ok" in line:
                return
            line = self._line()

    def last(self, command: str, **keys: Any) -> dict[str, Any]:
        """The last line of an answer. Raises NoAnswer and Refusal."""
        *_, last = self.ask(command, **keys)
        return last

    def _send(self, request: Mapping[str, Any]) -> None:
        connected = self._socket or self._connect()
        try:
            connected.sendall(json.dumps(request).encode() + b"\n")
        except TimeoutError:
            raise self._too_slow() from None
        except OSError as error:
            raise _Ended(f"{self._path}: {error.strerror or error}") from None

    def _connect(self) -> socket.socket:
        self._socket = connected = socket.socket(socket.AF_UNIX)
        # With Python's timeout, connect() would fail at once if the queue of connections is full.
        time = "@qq" if socket.SO_SNDTIMEO == _WIDE_SNDTIMEO else "@ll"
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack(time, int(_SECONDS), 0))
        try:
            connected.connect(os.fspath(self._path))
            connected.settimeout(self._seconds)
        except OSError as error:
            self.close()
            absent = isinstance(error, FileNotFoundError)
            hint = f', "control {{ listen unix:{self._path}; }}" in the configuration creates it' if absent else ""
            raise NoAnswer(f"{self._path}: {error.strerror or error}{hint}") from None
        first = self._line()
        if first.get("control") != VERSION:
            self.close()
            raise NoAnswer(f"{self._path}: {first.get('error', 'it is not a control socket of this version')}")
        self.version = str(first.get("mailworker"))
        return connected

    def _line(self) -> dict[str, Any]:
        assert self._socket is not None
        pieces = [self._data]
        while b"\n" not in pieces[-1]:
            try:
                pieces.append(self._socket.recv(_PAGE))
            except TimeoutError:
                raise self._too_slow() from None
            except OSError as error:
                raise _Ended(f"{self._path}: {error.strerror or error}") from None
            if not pieces[-1]:
                raise _Ended(f"{self._path}: the connection has ended")
        text, _, self._data = b"".join(pieces).partition(b"\n")
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            raise NoAnswer(f"{self._path}: it is not a control socket")
        return line

    def _too_slow(self) -> NoAnswer:
        return NoAnswer(f"{self._path}: no answer within {self._seconds:g} seconds")
