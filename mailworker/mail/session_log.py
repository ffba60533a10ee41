"""The error log of one session: each line names the client and the session's current action."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mailworker.errors import ConnectionLost, Party, PeerError, TimedOut, TlsError, escape
from mailworker.log.log import Log
from mailworker.model import Address, Level
from mailworker.tls.severity import severity
from mailworker.wire.confidential import without_response

# The most characters of a message, so that the suffix about the session still fits into the record.
_MESSAGE_LIMIT = 700

# The errors of connect() while the network or the peer is down (nginx); all others are logged at a higher level.
_UNREACHABLE = frozenset(
    {
        errno.EAGAIN,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
    }
)

_SHAKEN_OFF = "peer closed connection in SSL handshake"
_TIMED_OUT = " (110: Connection timed out)"


class Origin(Protocol):
    """The entrance of sessions: the data that they have in common."""

    @property
    def log(self) -> Log: ...
    @property
    def name(self) -> str:
        """The address of the `listen`."""


class SessionLog:
    """Adds nginx's suffix to messages: `[ while ACTION], client: ..., server: ...[, login: "..."][, upstream: ...]`.

    `number` is the connection's, `client` its address without a port. `action` is what the session is doing, None if
    nginx has no text for it.
    """

    __slots__ = ("action", "backend", "client", "entrance", "login", "number", "starttls")

    def __init__(self, entrance: Origin, number: int, client: str) -> None:
        self.entrance = entrance
        self.number = number
        self.client = client
        self.action: str | None = None
        self.starttls = False
        self.login = b""
        self.backend: str | None = None

    @property
    def session_id(self) -> bytes:
        """The session's id, empty if its time of accept is unknown."""
        return b""

    def connected(self, peer: Address) -> None:
        """Log the connection, in the only line without a suffix."""
        log = self.entrance.log
        if log.informative:
            log.write(Level.INFO, f"client {peer} connected to {self.entrance.name}", self.number)

    def come_from(self, client: str, port: int | None) -> None:
        """Set the client's address that a trusted peer has sent, and its port if there is one."""
        self.client = client

    @property
    def verbose(self) -> bool:
        """Whether `debug` writes anything; if not, callers need not compose the message."""
        return self.entrance.log.talkative

    def debug(self, message: str) -> None:
        """Log at [debug]; the message must contain no secret."""
        self.write(Level.DEBUG, message)

    def info(self, message: str) -> None:
        """Log at [info]."""
        if self.entrance.log.informative:
            self.write(Level.INFO, message)

    def error(self, message: str) -> None:
        """Log at [error]."""
        self.write(Level.ERROR, message)

    def write(self, level: Level, message: str) -> None:
        """Log `message`, whose untrusted parts must be escaped already."""
        log = self.entrance.log
        if log.enabled(level):
            log.write(level, message[:_MESSAGE_LIMIT], self.number, self)

    def fault(self, error: PeerError, peer: str = "") -> None:
        """Log a peer's error; `peer` is the auth service's name."""
        level, message = _DESCRIBE[error.party](error, peer)
        if message:
            self.write(level, message)

    def gave_up(self, error: PeerError) -> None:
        """Note that the connection to a backend failed, and that another one is tried."""
        self.fault(error)

    def greeted(self) -> None:
        """Note that the backend's first bytes have come within TLS."""

    def bug(self, bug: Exception) -> None:
        """Log an unexpected exception, with the place where it was raised."""
        what = "not enough memory" if isinstance(bug, MemoryError) else f"bug: {escape(repr(bug))}"
        self.write(Level.ALERT, f"{what} {_raised_in(bug)}")

    def members(self) -> dict[str, str | bool]:
        """The data of the suffix, for lines in JSON."""
        members: dict[str, str | bool] = {"client": self.client, "server": self.entrance.name}
        if self.action:
            members["action"] = self.action
        if self.starttls:
            members["starttls"] = True
        if self.login:
            members["login"] = escape(without_response(self.login))
        if self.backend is not None:
            members["upstream"] = self.backend
        return members

    def suffix(self) -> str:
        """The text about the session that nginx adds to each message."""
        parts = [f" while {self.action}"] if self.action else []
        parts.append(f", client: {self.client}")
        if self.starttls:
            parts.append(" using starttls")
        parts.append(f", server: {self.entrance.name}")
        if self.login:
            parts.append(f', login: "{escape(without_response(self.login))}"')
        if self.backend is not None:
            parts.append(f", upstream: {self.backend}")
        return "".join(parts)


def _raised_in(bug: BaseException) -> str:
    """Where an exception was raised: "(FILE:LINE in FUNCTION)", innermost first, at most three calls."""
    frames = traceback.extract_tb(bug.__traceback__)[-3:]
    places = (f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in reversed(frames))
    return f"({', '.join(places)})"


def _describe_client(error: PeerError, _peer: str) -> tuple[Level, str]:
    if isinstance(error, TimedOut):
        return Level.INFO, f"client timed out{_TIMED_OUT}"
    if isinstance(error, ConnectionLost) and not error.errno:
        # nginx has no text for clients that just leave.
        return Level.INFO, _SHAKEN_OFF if error.in_handshake else ""
    return severity(error) if isinstance(error, TlsError) else Level.INFO, _describe(error)


def _describe_auth_service(error: PeerError, peer: str) -> tuple[Level, str]:
    if isinstance(error, TimedOut):
        return Level.ERROR, f"auth http server {peer} timed out{_TIMED_OUT}"
    if isinstance(error, ConnectionLost):
        if error.errno:
            return _connection_level(error), _describe(error)
        return Level.ERROR, f"auth http server {peer} prematurely closed connection"
    return Level.ERROR, f"auth http server {peer} {error}"


def _describe_backend(error: PeerError, _peer: str) -> tuple[Level, str]:
    if isinstance(error, TimedOut):
        return Level.INFO, f"upstream timed out{_TIMED_OUT}"
    if isinstance(error, ConnectionLost):
        if error.errno:
            return _connection_level(error), _describe(error)
        return Level.ERROR, _SHAKEN_OFF if error.in_handshake else "upstream prematurely closed connection"
    return Level.ERROR, _describe(error)


def _connection_level(error: ConnectionLost) -> Level:
    return Level.CRIT if error.call.startswith("connect()") and error.errno not in _UNREACHABLE else Level.ERROR


def _describe(error: PeerError) -> str:
    if isinstance(error, ConnectionLost):
        return f"{error} ({error.errno}: {os.strerror(error.errno)})"
    if isinstance(error, TlsError):
        return f"{error} (SSL: {' '.join(error.reasons)})"
    return str(error)


_DESCRIBE: dict[Party, Callable[[PeerError, str], tuple[Level, str]]] = {
    Party.CLIENT: _describe_client,
    Party.AUTH_SERVICE: _describe_auth_service,
    Party.BACKEND: _describe_backend,
}
