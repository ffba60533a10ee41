"""Sinks of log lines. An open sink never blocks and never raises; it returns the reason if a line is lost."""

from __future__ import annotations

import errno
import mmap
import os
import select
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mailworker.config.syslog import SyslogServer
from mailworker.errors import StartError
from mailworker.log.line import describe
from mailworker.log.opening import give_log, open_log
from mailworker.log.stamp import Stamp, syslog_time
from mailworker.model import InetAddress, Level, UnixAddress


class Sink(Protocol):
    """Takes the lines of one target."""

    def write(self, level: Level, line: bytes) -> str | None:
        """Write one record, which ends in LF. Returns nginx's text for the failed call if it is lost, else None."""


class FileSink:
    """A file, shared by all logs that name it."""

    __slots__ = ("_full_second", "_torn", "descriptor", "path")

    def __init__(self, path: Path) -> None:
        """Open `path` for appending; raises StartError."""
        self.path = path
        self.descriptor = _open(path)
        self._full_second = 0
        self._torn = False

    def write(self, level: Level, line: bytes) -> str | None:
        """Append the record. When the disk is full, there is no further try in the same second, as in nginx."""
        if self.descriptor < 0:
            return None  # closed on purpose
        if self._full_second and int(time.time()) == self._full_second:
            return self._failure(errno.ENOSPC)
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self.descriptor, line)
        except OSError as error:
            self._full_second = int(time.time()) if error.errno == errno.ENOSPC else 0
            return self._failure(error.errno or 0)
        self._torn = written < len(line)
        return self._failure(errno.ENOSPC) if self._torn else None

    def _failure(self, number: int) -> str:
        return f'write() to "{self.path}" failed ({number}: {os.strerror(number)})'

    def reopen(self, owner: int | None) -> None:
        """Open the file that has this path now. If that fails, raises StartError, and keeps the old one.

        `owner` is the user id that the file gets, None for no change. Also raises StartError as `adopt` does.
        """
        descriptor = _open(self.path)
        if owner is not None:
            _give(descriptor, self.path, owner)
        self.adopt(descriptor)

    def adopt(self, descriptor: int) -> None:
        """Use the file that another process has opened.

        Raises StartError afterwards if the old one was closed with an error, as on a full disk of another machine.
        """
        former, self.descriptor = self.descriptor, descriptor
        self._torn = False
        try:
            if former >= 0:
                os.close(former)
        except OSError as error:
            raise StartError(f'close() "{self.path}" failed {describe(error)}') from None

    def close(self) -> None:
        """Close the descriptor; records that are written after that are lost."""
        with suppress(StartError):  # nothing is left to report it to
            self.adopt(-1)  # the number may soon be reused


class StderrSink:
    """The standard error stream."""

    __slots__ = ()

    def write(self, level: Level, line: bytes) -> str | None:
        """Write the record unless that would block.

        The stream cannot be made non-blocking, as other processes share it. A pipe that polls as ready takes PIPE_BUF
        bytes (4096), and no record is longer.
        """
        try:
            if not select.select([], [2], [], 0)[1]:
                raise BlockingIOError(errno.EAGAIN, "nobody reads")
            os.write(2, line)
        except OSError as error:
            return f"write() to stderr failed {describe(error)}"
        return None


class SyslogSink:
    """A syslog server, over UDP or a unix datagram socket, in nginx's form of RFC 3164 (section 4.1)."""

    __slots__ = ("_address", "_facility", "_family", "_name", "_socket", "_stamp")

    def __init__(self, settings: SyslogServer) -> None:
        self._family, self._address = _family(settings.server), settings.server
        self._facility = settings.facility
        host = "" if settings.nohostname else f"{socket.gethostname().lower()} "
        self._name = f"{host}{settings.tag}: "
        self._socket: socket.socket | None = None
        self._stamp = Stamp(syslog_time)

    def write(self, level: Level, line: bytes) -> str | None:
        """Send the record without its LF."""
        error = self.send(level, line)
        return None if error is None else self.failure(error)

    def failure(self, error: OSError) -> str:
        """The reason for a lost record, with the name of the server."""
        server = self._address
        name = UnixAddress(server) if isinstance(server, str) else InetAddress(*server[:2])
        return f"send() to syslog {name} failed {describe(error)}"

    def send(self, level: Level, line: bytes) -> OSError | None:
        """As `write`; returns the error if a record is lost.

        After an error, the record is sent again by a new socket, as by glibc's syslog(3), as there may be a new server.
        With UDP the error is that of an ICMP message, and means that the record before was lost.
        """
        priority = self._facility * 8 + level - Level.EMERG
        datagram = f"<{priority}>{self._stamp.text()} {self._name}".encode() + line[:-1]
        was_connected = self._socket is not None
        error = self._transmit(datagram)
        if self._socket is not None or not was_connected:
            return error
        again = self._transmit(datagram)
        return error if again is None and self._family != socket.AF_UNIX else again

    def _transmit(self, datagram: bytes) -> OSError | None:
        """Send by the socket, or by a new one, which is closed after an error, except a full buffer."""
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.send(datagram)
        except BlockingIOError as error:
            return error
        except OSError as error:
            self.close()
            return error
        return None

    @property
    def descriptor(self) -> int | None:
        """The descriptor of the socket, None while there is none."""
        return None if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Close the socket; the next record would open another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        connecting = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            connecting.setblocking(False)
            connecting.connect(self._address)
        except OSError:
            connecting.close()
            raise
        return connecting


class MemorySink:
    """A ring buffer of `size` bytes with the newest records, for a debugger. It uses no memory before the first one."""

    __slots__ = ("_position", "ring")

    def __init__(self, size: int) -> None:
        """Raises StartError without memory, with nginx's text."""
        try:
            self.ring = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise StartError(f"malloc({size}) failed {describe(error)}") from None
        self._position = 0

    def write(self, level: Level, line: bytes) -> str | None:
        """Store the record in place of the oldest ones."""
        line = line[-len(self.ring) :]
        first = line[: len(self.ring) - self._position]
        self.ring[self._position : self._position + len(first)] = first
        rest = line[len(first) :]
        self.ring[: len(rest)] = rest
        self._position = (self._position + len(line)) % len(self.ring)
        return None


def _open(path: Path) -> int:
    try:
        return open_log(path)
    except OSError as error:
        raise StartError(f'open() "{path}" failed {describe(error)}') from None


def _give(descriptor: int, path: Path, owner: int) -> None:
    try:
        give_log(descriptor, owner)
    except OSError as error:
        os.close(descriptor)
        raise StartError(f'chown() "{path}" failed {describe(error)}') from None


def _family(server: tuple[str, int] | str) -> socket.AddressFamily:
    if isinstance(server, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET
