"""Auth and policy services and backends, good and bad ones, in a process of their own.

    python -m tests.long.peers

prints its ports as JSON, serves until its input ends, and then prints what it has seen as JSON. What happens to a
login is up to its user's name: see `Fault`.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import ssl
import struct
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from contextlib import suppress
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.long.mailboxes import CHANGE_EVERY, PROTOCOLS, Mailboxes, Role
from tests.support.certificates import self_signed

HOST = "127.0.0.1"
_KEPT = 5.0  # seconds for which a connection is kept without a request


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
    BACKEND_RESTARTS = "backend-restarts"  # again and again; whether the login succeeds is up to chance

    @classmethod
    def of(cls, user: str) -> Fault | None:
        """What is to go wrong for `user`, None where nothing is."""
        name = user.partition(".")[0]
        return next((fault for fault in cls if fault.value == name), None)


class Peers:
    """All servers, in one event loop; `seen` is that of the mailboxes, and `ports` are those of all servers."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self.seen: Counter[str] = Counter()
        self._mailboxes = Mailboxes(self.seen)
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self, context: ssl.SSLContext) -> None:
        """Open all ports."""
        for protocol in PROTOCOLS:
            mailbox = self._mailboxes.of(protocol)
            self.ports[protocol] = await _serve(mailbox)
            self.ports[f"{protocol} by TLS"] = await _serve(mailbox, context)
            await self._restart_for_ever(f"{Fault.BACKEND_RESTARTS.value} {protocol}", mailbox)
        self.ports[Fault.BACKEND_RESETS.value] = await _serve(_reset)
        self.ports[Fault.BACKEND_LEAVES.value] = await _serve(_leave)
        self.ports[Fault.BACKEND_LIES.value] = await _serve(_lie)
        self.ports[Fault.BACKEND_STALLS.value] = await _serve(_stall)
        self.ports[Fault.BACKEND_REFUSES.value] = 9  # discard: nobody listens there
        self.ports["auth"] = await _serve(self._authenticate)
        self.ports["policy"] = await _serve(_permit)
        self._tasks.append(asyncio.create_task(self._change_for_ever()))

    async def _change_for_ever(self) -> None:
        while True:
            await asyncio.sleep(CHANGE_EVERY)
            self._mailboxes.change()

    async def _restart_for_ever(self, name: str, role: Role) -> None:
        """A server that ends all its connections and starts anew on the same port, again and again."""
        reservation = socket.socket()
        reservation.bind((HOST, 0))
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.ports[name] = reservation.getsockname()[1]
        connected: set[StreamWriter] = set()

        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            connected.add(writer)
            try:
                await role(reader, writer)
            finally:
                connected.discard(writer)

        async def restart() -> None:
            with reservation:
                while True:
                    server = await asyncio.start_server(_played(serve), HOST, self.ports[name], backlog=1024)
                    await asyncio.sleep(random.uniform(0.05, 1.0))
                    server.close()
                    for writer in connected:
                        writer.transport.abort()
                    await asyncio.sleep(random.uniform(0.0, 0.1))

        self._tasks.append(asyncio.create_task(restart()))

    async def _authenticate(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one question after another, as with `auth_http_keepalive` they share a connection."""
        while True:
            request = (await _head(reader)).decode("latin-1")
            headers = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if ": " in line)
            fault = Fault.of(headers["Auth-User"])
            if fault in _BAD_AUTH:
                await _BAD_AUTH[fault](reader, writer)
                return
            port = self._port(headers["Auth-Protocol"], fault)
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                f"Auth-Status: OK\r\nAuth-Server: {HOST}\r\nAuth-Port: {port}\r\n\r\n".encode()
            )
            if request.partition("\r\n")[0].endswith("HTTP/1.0"):
                return

    def _port(self, protocol: str, fault: Fault | None) -> int:
        if fault is None:
            return self.ports[protocol]
        return self.ports[f"{fault.value} {protocol}" if fault is Fault.BACKEND_RESTARTS else fault.value]


async def _head(reader: StreamReader) -> bytes:
    """The head of a request; raises EOFError if none comes for a while, which ends a kept connection."""
    try:
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _KEPT)
    except asyncio.TimeoutError:
        raise EOFError from None


async def _permit(reader: StreamReader, writer: StreamWriter) -> None:
    """A policy service that has no objection."""
    while True:
        request = await _head(reader)
        length = re.search(rb"(?i)content-length: (\d+)", request)
        await reader.readexactly(int(length[1]) if length else 0)
        body = b'{"status":0,"msg":""}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


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


def _played(role: Role) -> Role:
    """A role that ends its connection."""

    async def play(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, EOFError, asyncio.CancelledError):  # the last one at the end of all
            await role(reader, writer)
        writer.close()

    return play


async def _serve(role: Role, context: ssl.SSLContext | None = None) -> int:
    """Play `role` with all that connect to a port; returns the port."""
    server = await asyncio.start_server(_played(role), HOST, 0, backlog=1024, ssl=context)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        certificate = self_signed(Path(folder), "backend", "/CN=backend.example")
        context.load_cert_chain(certificate.certificate, certificate.key)
    peers = Peers()
    await peers.listen(context)
    print(json.dumps(peers.ports), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(peers.seen), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
