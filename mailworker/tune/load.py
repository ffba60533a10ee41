"""A process that puts load on a mailworker. It contains clients, an auth service, and a backend.

Several such processes share the ports of auth service and backend, so that neither slows down the workers. Called as

    python -m mailworker.tune.load KIND PORT AUTH_PORT BACKEND_PORT SECONDS CLIENTS

it prints "ready", waits for a line on stdin, and prints the rate per second: handshakes, logins or relayed bytes.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum
from time import monotonic

_PIECE = 65536
_BLOCK = b"x" * _PIECE
_INTERVAL = 0.02  # seconds between two checks of `done`
_PATIENCE = 20.0  # seconds within which `done` must have changed


class Kind(Enum):
    """What is measured."""

    HANDSHAKES = "handshakes"
    LOGINS = "logins"
    RELAYED_BYTES = "relayed_bytes"


class Load:
    """Clients, auth service and backend in one event loop; `done` counts in the unit of `kind`."""

    def __init__(self, kind: Kind, port: int, auth_port: int, backend_port: int) -> None:
        self.done = 0
        self._auth_port = auth_port
        self._backend_port = backend_port
        self._kind = kind
        self._port = port
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self) -> None:
        """Open the auth service and the backend."""
        await asyncio.start_server(_guarded(self._authenticate), "127.0.0.1", self._auth_port, reuse_port=True)
        await asyncio.start_server(_guarded(self._serve_mailbox), "127.0.0.1", self._backend_port, reuse_port=True)

    async def run(self, seconds: float, clients: int) -> float:
        """Run the clients for so many seconds, or longer until something is done; they go on. Returns the rate."""
        client = {
            Kind.HANDSHAKES: self._shake_hands,
            Kind.LOGINS: self._log_in,
            Kind.RELAYED_BYTES: self._download,
        }[self._kind]
        self._tasks = [asyncio.create_task(_again_and_again(client)) for _ in range(clients)]
        begin = monotonic()
        await asyncio.sleep(seconds)
        while not self.done:
            await asyncio.sleep(_INTERVAL)
        return self.done / (monotonic() - begin)

    async def _authenticate(self, reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer = "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: {}\r\n\r\n"
        writer.write(answer.format(self._backend_port).encode())

    async def _serve_mailbox(self, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"+OK\r\n")
        command = b""
        while not command.startswith(b"PASS "):
            command = await reader.readuntil(b"\n")
            writer.write(b"-ERR\r\n" if command == b"CAPA\r\n" else b"+OK\r\n")
        await reader.readuntil(b"\n")
        while self._kind is Kind.RELAYED_BYTES:
            writer.write(_BLOCK)
            await writer.drain()

    async def _shake_hands(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a new one has no session to resume
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=context)
        await reader.readuntil(b"\n")
        self.done += 1
        writer.transport.abort()

    async def _log_in(self) -> None:
        _, writer = await self._new_session()
        self.done += 1
        writer.transport.abort()

    async def _download(self) -> None:
        reader, writer = await self._new_session()
        writer.write(b"RETR 1\r\n")
        while piece := await reader.read(_PIECE):
            self.done += len(piece)

    async def _new_session(self) -> tuple[StreamReader, StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_PIECE)
        await reader.readuntil(b"\n")
        for command in (b"USER user@example.com\r\n", b"PASS secret\r\n"):
            writer.write(command)
            await reader.readuntil(b"\n")
        return reader, writer


Role = Callable[[StreamReader, StreamWriter], Awaitable[None]]


def _guarded(role: Role) -> Role:
    """Wrap a role so that its peer may leave at any time."""

    async def play(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await role(reader, writer)
        writer.close()

    return play


async def _again_and_again(client: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(OSError, EOFError):
            await client()


async def _main(kind: Kind, ports: list[int], seconds: float, clients: int) -> None:
    load = Load(kind, *ports)
    await load.listen()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print(await asyncio.wait_for(load.run(seconds, clients), seconds + _PATIENCE), flush=True)
    os._exit(0)  # hundreds of open sessions need not be closed


if __name__ == "__main__":
    kind, *ports, seconds, clients = sys.argv[1:]
    asyncio.run(_main(Kind(kind), [int(port) for port in ports], float(seconds), int(clients)))
