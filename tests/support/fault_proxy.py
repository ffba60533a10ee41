"""A TCP proxy that injects faults: put it before mailworker, its auth service or its backend."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from mailworker.model import InetAddress

_PIECE = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Ending(Enum):
    """How a connection ends, once one of its directions has passed on its share of bytes."""

    CLOSE = auto()  # both sides find the end of the stream
    RESET = auto()  # both sides find a RST
    STALL = auto()  # nothing more is read, so the sender's buffers fill up
    BLACKHOLE = auto()  # everything is read and nothing passed on, not even the end


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the bytes of one direction; by default they pass unchanged.

    They pass in pieces of at most `piece` bytes, each `delay` seconds late. `ending` comes after `after` bytes, which
    may be none.
    """

    delay: float = 0.0
    piece: int = _PIECE
    ending: Ending | None = None
    after: int = 0


GOOD = Fault()


def drip(delay: float) -> Fault:
    """One byte after another, with `delay` seconds between them."""
    return Fault(delay=delay, piece=1)


def cut(after: int, ending: Ending = Ending.CLOSE) -> Fault:
    """`ending` after exactly `after` bytes."""
    return Fault(ending=ending, after=after)


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one connection: `up` is towards the target, `down` is from there."""

    up: Fault = GOOD
    down: Fault = GOOD


class FaultProxy:
    """Passes connections on to `target`, from a port of 127.0.0.1 that the kernel chose, in a thread of its own.

    That thread calls `faults` for each connection with its number, from 0; it may be replaced at any time.
    """

    def __init__(self, target: InetAddress, faults: Callable[[int], Faults] | Faults | None = None) -> None:
        self.faults = faults if callable(faults) else always(faults or Faults())
        self.connections = 0
        self._target = target
        self._open: set[_Connection] = set()
        self._tasks: dict[asyncio.Task[None], socket.socket] = {}
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listening.setblocking(False)
        self.address = InetAddress(*self._listening.getsockname())
        self._loop = asyncio.new_event_loop()
        self._loop.add_reader(self._listening, self._accept)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Reset all open connections."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def stop(self) -> None:
        """End everything."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _accept(self) -> None:
        connected, _ = self._listening.accept()
        connected.setblocking(False)
        task = self._loop.create_task(self._serve(connected, self.faults(self.connections)))
        self.connections += 1
        self._tasks[task] = connected
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task).close()  # a task that never began has not closed it

    async def _serve(self, connected: socket.socket, faults: Faults) -> None:
        client = await asyncio.open_connection(sock=connected)
        try:
            target = await asyncio.open_connection(self._target.host, self._target.port)
            await self._carry(_Connection(client, target), faults)
        except OSError:
            _close(client[1], reset=True)  # as if nothing listened here
        finally:
            _close(client[1])

    async def _carry(self, connection: _Connection, faults: Faults) -> None:
        self._open.add(connection)
        try:
            await connection.run(faults)
        finally:
            connection.close()
            self._open.discard(connection)

    def _reset_all(self) -> None:
        for connection in self._open:
            connection.close(reset=True)

    async def _end(self) -> None:
        self._loop.remove_reader(self._listening)
        self._listening.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # closes the connections


def always(faults: Faults) -> Callable[[int], Faults]:
    """The same faults for every connection."""
    return lambda _number: faults


End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """A client's connection and the one to the target."""

    def __init__(self, client: End, target: End) -> None:
        self._client = client
        self._target = target

    async def run(self, faults: Faults) -> None:
        """Pass bytes on in both directions until both have ended."""
        up = self._pass_on(self._client[0], self._target[1], faults.up)
        down = self._pass_on(self._target[0], self._client[1], faults.down)
        await asyncio.gather(up, down)

    def close(self, *, reset: bool = False) -> None:
        """End both sides."""
        for _, writer in (self._client, self._target):
            _close(writer, reset=reset)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, fault: Fault) -> None:
        try:
            if await _copy(source, sink, fault):
                await self._finish(source, fault.ending)
            elif sink.can_write_eof():
                sink.write_eof()
        except OSError:
            self.close(reset=True)  # one side has reset its connection, so the other side is reset, too

    async def _finish(self, source: asyncio.StreamReader, ending: Ending | None) -> None:
        match ending:
            case Ending.STALL:
                await asyncio.get_running_loop().create_future()  # never read again
            case Ending.BLACKHOLE:
                while await source.read(_PIECE):
                    pass
            case _:
                self.close(reset=ending is Ending.RESET)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, fault: Fault) -> bool:
    """Pass on what may pass; returns whether the fault's ending has come, rather than the end of the stream."""
    left = fault.after
    while fault.ending is None or left > 0:
        data = await source.read(fault.piece if fault.ending is None else min(fault.piece, left))
        if not data:
            return False
        left -= len(data)
        await asyncio.sleep(fault.delay)
        sink.write(data)
        await sink.drain()
    return True


def _close(writer: asyncio.StreamWriter, *, reset: bool = False) -> None:
    """Close at once; unwritten data is dropped, as its reader has not taken it for long."""
    if reset and not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
