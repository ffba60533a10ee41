"""Clients that log in by one of the three protocols, and what became of them."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from random import random, randrange

from tests.long.peers import HOST, Fault
from tests.long.streams import PIECE, Stream, receive, send

# A login must have succeeded or failed after so many seconds: more than any timeout of the proxy.
PATIENCE = 60.0
_RENEWED = 0.1
_CUT = 0.3
PASSWORD = "secret"


@dataclass(frozen=True, slots=True)
class Door:
    """A port of the proxy. `secure` is TLS from the start; the directive `source` names who decides about logins."""

    protocol: str
    port: int
    secure: bool
    source: str = "auth_http"


class Outcome(Enum):
    """How a login ended."""

    LOGGED_IN = auto()
    REFUSED = auto()  # in words of the protocol
    CUT = auto()  # the connection ended before
    HUNG = auto()


# For each protocol: what the client says, and how a good answer to it begins.
def _dialogue(protocol: str, user: str) -> list[tuple[bytes, bytes]]:
    if protocol == "imap":
        return [(f"1 LOGIN {user} {PASSWORD}\r\n".encode(), b"1 OK")]
    if protocol == "pop3":
        return [(f"USER {user}\r\n".encode(), b"+OK"), (f"PASS {PASSWORD}\r\n".encode(), b"+OK")]
    plain = base64.b64encode(f"\0{user}\0{PASSWORD}".encode())
    if protocol == "sieve":
        return [(b'AUTHENTICATE "PLAIN" "%b"\r\n' % plain, b"OK")]
    return [(b"EHLO client.example\r\n", b"250 "), (b"AUTH PLAIN " + plain + b"\r\n", b"235")]


class Client:
    """One connection. `ports` are those of its two ends, 0 for one that it does not have yet."""

    def __init__(self, door: Door, user: str) -> None:
        self.ports = 0, door.port
        self.user = user
        self._connected = False
        self._door = door
        self._reader: StreamReader
        self._writer: StreamWriter

    async def log_in(self, has_port: Callable[[], None] | None = None) -> Outcome:
        """Connect and log in; `has_port` is called as soon as we have a port, before the proxy can know it."""
        try:
            return await asyncio.wait_for(self._log_in(has_port), PATIENCE)
        except (OSError, EOFError):
            return Outcome.CUT
        except asyncio.TimeoutError:
            return Outcome.HUNG

    async def _log_in(self, has_port: Callable[[], None] | None) -> Outcome:
        await self._connect(has_port)
        line = await self._reader.readuntil(b"\n")
        while self._door.protocol == "sieve" and line[:1] == b'"':
            line = await self._reader.readuntil(b"\n")
        for said, expected in _dialogue(self._door.protocol, self.user):
            self._say_in_pieces(said)
            line = await self._reader.readuntil(b"\n")
            while line[3:4] == b"-":
                line = await self._reader.readuntil(b"\n")
            if not line.startswith(expected):
                return Outcome.REFUSED
        return Outcome.LOGGED_IN

    async def _connect(self, has_port: Callable[[], None] | None) -> None:
        connecting = socket.socket()
        connecting.setblocking(False)
        try:
            if has_port is not None:
                connecting.bind((HOST, 0))
                self.ports = connecting.getsockname()[1], self._door.port
                has_port()
            await asyncio.get_running_loop().sock_connect(connecting, (HOST, self._door.port))
        except BaseException:
            connecting.close()
            raise
        self.ports = connecting.getsockname()[1], self._door.port
        context, name = (_anybody(), "") if self._door.secure else (None, None)
        self._reader, self._writer = await asyncio.open_connection(
            sock=connecting, limit=PIECE, ssl=context, server_hostname=name
        )
        self._connected = True

    async def echo(self, text: str) -> None:
        """A line to our mailbox and back; raises EOFError where another one comes.

        An SMTP backend that knows no XCLIENT does not know whose it is.
        """
        self._say_in_pieces(f"ECHO {text} of {self.user}\r\n".encode())
        owner, _, echo = (await self._reader.readuntil(b"\n")).decode().partition(" ")
        owners = (self.user, "") if self._door.protocol == "smtp" else (self.user,)
        if owner not in owners or echo != f"{text} of {self.user}\r\n":
            raise EOFError

    def _say_in_pieces(self, line: bytes) -> None:
        """In one segment, or cut anywhere into two."""
        middle = randrange(len(line)) if random() < _CUT else 0
        if middle:
            self._writer.write(line[:middle])
        self._writer.write(line[middle:])

    async def bulk(self, size: int, seed: int) -> Stream:
        """Send and receive `size` bytes at the same time; the stream that came, be it whole or not.

        Raises AssertionError where the backend has seen other bytes than were sent.
        """
        self._writer.write(f"BULK {size} {seed}\r\n".encode())
        incoming, outgoing = Stream(seed), Stream(seed + 1)
        try:
            await asyncio.gather(send(self._writer, outgoing, size), receive(self._reader, incoming, size))
            digest = (await self._reader.readuntil(b"\n")).strip().decode()
        except (OSError, EOFError):
            return incoming
        outgoing = Stream(seed + 1)
        outgoing.receive(outgoing.take(size))
        assert digest == outgoing.digest, f"{digest} came, not {outgoing.digest}"
        return incoming

    def say(self, line: bytes) -> None:
        """Anything, without waiting for an answer, nor for it to be sent."""
        self._writer.write(line)

    def stop_reading(self) -> None:
        """Leave all that comes to the system's buffers."""
        transport = self._writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()

    async def say_goodbye(self) -> None:
        """End the session in order; raises EOFError or OSError where that fails."""
        self._writer.write(b"BYE\r\n")
        await self._reader.readuntil(b"bye\r\n")
        if await self._reader.read():
            raise EOFError

    async def wait_for_the_end(self) -> None:
        """Return when the other end has closed the connection."""
        with suppress(OSError):
            await self._reader.read()

    def leave(self) -> None:
        """Close, without a word."""
        if self._connected:
            self._writer.transport.abort()


@contextmanager
def connecting(client: Client) -> Iterator[Client]:
    """A client that has left afterwards."""
    try:
        yield client
    finally:
        client.leave()


def is_right(fault: Fault | None, outcome: Outcome) -> bool:
    """Whether a login ended as it should, where nothing but `fault` has happened to it."""
    if fault is None:
        return outcome is Outcome.LOGGED_IN
    if fault is Fault.BACKEND_RESTARTS:
        return outcome is not Outcome.HUNG
    return outcome in (Outcome.REFUSED, Outcome.CUT)


class _Resuming(ssl.SSLContext):
    """Offers the session of an earlier connection, whichever server that was."""

    _former: ssl.SSLObject | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        former = None if self._former is None else _session_of(self._former)
        connection = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session or former)
        if former is None or random() < _RENEWED:
            self._former = connection
        return connection


def _session_of(connection: ssl.SSLObject) -> ssl.SSLSession | None:
    try:
        return connection.session
    except ValueError:  # it has none yet
        return None


@cache
def _anybody() -> ssl.SSLContext:
    """A context that trusts anybody."""
    context = _Resuming(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
