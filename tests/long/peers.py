"""An auth service and backends, good and bad ones, in a process of their own.

    python -m tests.long.peers

prints the auth service's port, serves until its input ends, and then prints what it has seen as JSON. What happens
to a login is up to its user's name: see `Fault`.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

from tests.long.streams import Stream

PIECE = 65536
HOST = "127.0.0.1"
PROTOCOLS = ("imap", "pop3", "smtp")
_GREETINGS = {"imap": b"* OK ready\r\n", "pop3": b"+OK ready\r\n", "smtp": b"220 ready\r\n"}
_ANSWERS = {
    b"USER": b"+OK\r\n",
    b"PASS": b"+OK logged in\r\n",
    b"EHLO": b"250-mail.example\r\n250 XCLIENT NAME ADDR LOGIN\r\n",
    b"XCLIENT": b"220 ready\r\n",
}


class Fault(Enum):
    """What goes wrong with the logins of users whose names begin so; all others are well."""

    DENIED = "denied"
    DENIED_FOR_AN_HOUR = "denied-for-an-hour"  # never answered before the client goes; not for the long runs
    AUTH_RESETS = "auth-resets"
    AUTH_LEAVES = "auth-leaves"
    AUTH_LIES = "auth-lies"
    AUTH_STALLS = "auth-stalls"
    BACKEND_RESETS = "backend-resets"
    BACKEND_LEAVES = "backend-leaves"
    BACKEND_LIES = "backend-lies"
    BACKEND_STALLS = "backend-stalls"
    BACKEND_REFUSES = "backend-refuses"  # the connection

    @classmethod
    def of(cls, user: str) -> Fault | None:
        """What is to go wrong for `user`, None where nothing is."""
        name = user.partition(".")[0]
        return next((fault for fault in cls if fault.value == name), None)


class Peers:
    """All servers, in one event loop; `seen` counts logins, streams and wrong ones."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._ports: dict[str, int] = {}

    async def listen(self) -> int:
        """Open all ports; returns the auth service's."""
        for protocol in PROTOCOLS:
            self._ports[protocol] = await _serve(self._mailbox(protocol))
        self._ports[Fault.BACKEND_RESETS.value] = await _serve(_reset)
        self._ports[Fault.BACKEND_LEAVES.value] = await _serve(_leave)
        self._ports[Fault.BACKEND_LIES.value] = await _serve(_lie)
        self._ports[Fault.BACKEND_STALLS.value] = await _serve(_stall)
        self._ports[Fault.BACKEND_REFUSES.value] = 9  # discard: nobody listens there
        return await _serve(self._authenticate)

    async def _authenticate(self, reader: StreamReader, writer: StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if ": " in line)
        fault = Fault.of(headers["Auth-User"])
        if fault in _BAD_AUTH:
            await _BAD_AUTH[fault](reader, writer)
            return
        status, port = "OK", self._ports[headers["Auth-Protocol"] if fault is None else fault.value]
        writer.write(
            f"HTTP/1.0 200 OK\r\nAuth-Status: {status}\r\nAuth-Server: {HOST}\r\nAuth-Port: {port}\r\n\r\n".encode()
        )

    def _mailbox(self, protocol: str) -> Role:
        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            writer.write(_GREETINGS[protocol])
            while line := await reader.readline():
                word, _, rest = line.rstrip().partition(b" ")
                if word == b"ECHO":
                    writer.write(rest + b"\r\n")
                elif word == b"BULK":
                    await self._bulk(reader, writer, *map(int, rest.split()))
                elif word == b"HANG":
                    await asyncio.get_running_loop().create_future()  # reads no more
                elif word == b"BYE":
                    writer.write(b"bye\r\n")
                    return
                else:
                    writer.write(_ANSWERS[word] if word in _ANSWERS else _imap_answer(line))
            self.seen["ended by the proxy"] += 1

        return serve

    async def _bulk(self, reader: StreamReader, writer: StreamWriter, size: int, seed: int) -> None:
        """Send and receive `size` bytes at the same time, and tell what has come."""
        self.seen["streams"] += 1
        incoming = Stream(seed + 1)
        try:
            await asyncio.gather(send(writer, Stream(seed), size), receive(reader, incoming, size))
        finally:
            self.seen["bytes"] += incoming.length
            self.seen["wrong"] += not incoming.is_right
        writer.write(incoming.digest.encode() + b"\r\n")


def _imap_answer(line: bytes) -> bytes:
    """The login comes as `TAG LOGIN {n}`, a line `name {n}` and a line with the password."""
    if line.endswith(b"}\r\n"):
        return b"+ OK\r\n"
    return b"1 OK logged in\r\n"


async def send(writer: StreamWriter, stream: Stream, size: int) -> None:
    """Send the next `size` bytes of a stream."""
    while size:
        piece = stream.take(min(PIECE, size))
        writer.write(piece)
        await writer.drain()
        size -= len(piece)


async def receive(reader: StreamReader, stream: Stream, size: int) -> None:
    """Receive `size` bytes; raises EOFError where less come."""
    while size:
        data = await reader.read(min(PIECE, size))
        if not data:
            raise EOFError
        stream.receive(data)
        size -= len(data)


Role = Callable[[StreamReader, StreamWriter], Awaitable[None]]


async def _deny_for_an_hour(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\nAuth-Status: Invalid login or password\r\nAuth-Wait: 3600\r\n\r\n")


async def _deny(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\nAuth-Status: Invalid login or password\r\nAuth-Wait: 1\r\n\r\n")


async def _reset(reader: StreamReader, writer: StreamWriter) -> None:
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _leave(reader: StreamReader, writer: StreamWriter) -> None:
    """End the connection without a word."""


async def _lie(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(
        random.choice((b"HTTP/1.0 500 Oops\r\nAuth-Status: OK\r\n\r\n", b"\0" * 3000, b"* BYE\r\n-ERR no\r\n"))
    )


async def _stall(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read()


_BAD_AUTH: dict[Fault | None, Role] = {
    Fault.DENIED: _deny,
    Fault.DENIED_FOR_AN_HOUR: _deny_for_an_hour,
    Fault.AUTH_RESETS: _reset,
    Fault.AUTH_LEAVES: _leave,
    Fault.AUTH_LIES: _lie,
    Fault.AUTH_STALLS: _stall,
}


async def _serve(role: Role) -> int:
    """Play `role` with all that connect to a port; returns the port."""

    async def play(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await role(reader, writer)
        writer.close()

    server = await asyncio.start_server(play, HOST, 0, backlog=1024)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _main() -> None:
    peers = Peers()
    print(await peers.listen(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(peers.seen), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
