"""A byte stream to a peer that a coroutine reads from and writes to as if it blocked.

native/core/stream.c has in C what a connection does when nothing goes wrong.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Generator
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from mailworker.errors import ConnectionLost, Party, TimedOut, TlsError
from mailworker.event import sockets
from mailworker.event.choice import Choices, chosen
from mailworker.event.loop import Loop
from mailworker.event.poller import READ, WRITE
from mailworker.event.task import Task
from mailworker.event.transport import Plain, Transport
from mailworker.native.core import accelerator
from mailworker.native.core.readiness import Readiness
from mailworker.tls.connection import TlsConnection

# A command, None where something is read first, and how the last and the other lines of its reply start. In the place
# of the others may stand Choices: no reply is usual then, and those that are chosen have their own answers.
Step = tuple[bytes | None, tuple[Any, ...]]

Agreement = tuple[bytes, bytes, bytes | None]
"""What a handshake has come to: the version, OpenSSL's name of the cipher, and whom the client has asked for by SNI."""

# Bytes of one read at most: a stream that waits holds no buffer.
_PAGE_SIZE = 4096


class TlsContext(Protocol):
    """Makes the TLS connections of a server, or those to a backend."""

    def connection(self, descriptor: int) -> TlsConnection: ...


class Stream(Protocol):
    """What dialogues are written against.

    `deadline` is the monotonic time in seconds after which waiting raises TimedOut; `inf` waits for ever.
    `tls` is the TLS connection once there is one, `secure` tells whether there is. Failures are raised as
    ConnectionLost or TlsError with the stream's party.
    """

    deadline: float
    tls: TlsConnection | None

    @property
    def secure(self) -> bool: ...

    def read(self, limit: int) -> Awaitable[bytes]:
        """Up to `limit` bytes, at least one; b"" once the peer has ended its side."""

    def write(self, data: bytes) -> Awaitable[None]:
        """Hand over all of `data` to the system."""

    def peek(self, limit: int) -> Awaitable[bytes]:
        """As `read`, but what is given stays to be read; only before TLS."""

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        """Shake hands; no byte may have been read beyond what was before TLS.

        `more` promises a `write` right after, with which the last bytes of the handshake may go.
        """

    def close(self) -> None:
        """Close at once; may be called again."""


class Connection:
    """What a SocketStream is made of: its descriptor, what it waits for, and how bytes come and go."""

    __slots__ = (
        "_closed",
        "_plain",
        "_tls",
        "_transport",
        "deadline",
        "descriptor",
        "heard",
        "loop",
        "party",
        "received",
        "sent",
        "step",
        "task",
        "watched",
    )

    _transport: Transport

    def __init__(
        self, loop: Loop, descriptor: int, party: Party, closed: Callable[[], None], *, watched: int = 0
    ) -> None:
        self._closed: Callable[[], None] | None = closed  # until it is closed or given away
        self._transport = self._plain = Plain(descriptor, party)
        self._tls: TlsConnection | None = None
        self.deadline = inf
        self.descriptor = descriptor
        self.heard: bytes | None = None  # the choices of its last exchange
        self.loop = loop
        self.party = party
        self.received = self.sent = 0
        self.step = 0
        self.task: Task | None = None  # that waits
        self.watched = watched  # what the poller watches for; 0: it is not registered

    @property
    def tls(self) -> TlsConnection | None:
        """The TLS connection once there is one."""
        return self._tls

    @tls.setter
    def tls(self, tls: TlsConnection | None) -> None:
        self._tls = tls
        self._transport = self._plain if tls is None else tls

    @property
    def secure(self) -> bool:
        """Whether there is a TLS connection; whoever asks for it makes its object, where C has begun it."""
        return self._tls is not None

    @property
    def agreement(self) -> Agreement | None:
        """What was agreed on in the handshake, None without TLS."""
        tls = self._tls
        return None if tls is None else (tls.protocol.encode(), tls.cipher.encode(), tls.server_name)

    async def read(self, limit: int) -> bytes:
        """See `Stream.read`. It waits first, so that other streams get their turn."""
        if not self._transport.pending():
            self._watch(READ)
            await self
        while isinstance(data := self._transport.recv(min(limit, _PAGE_SIZE)), Readiness):
            self._watch(data)
            await self
        self.received += len(data)
        return data

    async def write(self, data: bytes) -> None:
        """See `Stream.write`."""
        while data:
            sent = self._transport.send(data)
            if isinstance(sent, Readiness):
                await self.wait(sent)
            else:
                self.sent += sent
                data = data[sent:]

    async def wait(self, events: int) -> None:
        """Suspend the running task until the descriptor is ready for `events`."""
        self._watch(events)
        await self

    def _watch(self, events: int) -> None:
        if self.watched == events:
            return
        try:
            (self.loop.change if self.watched else self.loop.watch)(self.descriptor, events, self)
        except OSError as error:
            raise ConnectionLost(self.party, f"{self.loop.method}()", error.errno or 0) from None
        self.watched = events

    def __await__(self) -> Generator[Connection, None, None]:
        """Until the descriptor is ready."""
        yield self

    async def exchange(self, limit: int, steps: tuple[Step, ...]) -> tuple[int, bytes]:
        """Say each command as soon as the reply to the one before has come whole, in one read, and as usual.

        Gives how many replies were usual, and the last one that was read. `step` is the one at hand, and `heard` what
        the peer has chosen to say, see `Choice`, None where that is nothing.
        """
        self.heard = None
        for self.step, (command, (last, others, *_)) in enumerate(steps):
            if command is not None:
                await self.write(command)
            reply = await self.read(limit)
            if isinstance(others, tuple):
                return self.step, await self._serve(limit, others, reply)
            if not _is_whole(reply, last, others):
                return self.step, reply
        return len(steps), reply

    async def _serve(self, limit: int, choices: Choices, words: bytes) -> bytes:
        """Answer what is among the choices; gives what is not."""
        while (choice := chosen(choices, words)) is not None:
            self.heard = words if self.heard is None else self.heard + words
            choices = choice.choices
            await self.write(choice.answer)
            words = await self.read(limit)
        return words

    def park(self, task: Task) -> None:
        """The task's call: see Waitable."""
        self.task = task
        if self.deadline == inf:
            self.loop.cancel_deadline(task)
        else:
            self.loop.set_deadline(task, self.deadline)

    def ready(self, mask: int) -> None:
        """The poller's call."""
        if not self.watched:
            return  # closed in this very round
        if self.task is None:
            self.watched = 0
            self.loop.unwatch(self.descriptor)
        else:
            task, self.task = self.task, None
            task.resume()

    def timed_out(self) -> TimedOut:
        """The task's call; what goes wrong has its name from SocketStream."""
        raise NotImplementedError

    def hand_over(self) -> tuple[int, TlsConnection | None, int]:
        """Give away the descriptor, the TLS connection, and what the descriptor is watched for."""
        given = self.descriptor, self.tls, self.watched
        self._closed = self.tls = None
        self.watched = 0
        return given

    def close(self) -> None:
        """See `Stream.close`."""
        closed, self._closed = self._closed, None
        if closed is None:
            return
        tls, self.tls = self.tls, None
        watched, self.watched = self.watched, 0
        if watched:
            self.loop.forget(self.descriptor)
        if tls is not None:
            tls.free()
        os.close(self.descriptor)
        closed()


def _is_whole(reply: bytes, last: bytes, others: bytes | None) -> bool:
    """Whether it is one whole reply: its last line starts with `last`, those before with `others`."""
    lines = reply.split(b"\n")
    if lines.pop() or not lines or not all(line.endswith(b"\r") for line in lines):
        return False
    if any(line.endswith(b"}\r") for line in lines):  # a literal may follow
        return False
    if not lines.pop()[:-1].startswith(last):
        return False
    return not lines if others is None else all(line[:-1].startswith(others) for line in lines)


if accelerator is not None and not TYPE_CHECKING:
    Connection = accelerator.Stream


class SocketStream(Connection):
    """A `Stream` over a non-blocking socket; `closed` is called once when it is closed.

    `received` and `sent` count the bytes of data.
    """

    __slots__ = ()

    async def peek(self, limit: int) -> bytes:
        """See `Stream.peek`."""
        await self.wait(READ)
        while isinstance(data := sockets.peek(self.descriptor, min(limit, _PAGE_SIZE)), int):
            if data not in sockets.WOULD_BLOCK:
                raise ConnectionLost(self.party, "recv()", -data)
            await self.wait(READ)
        return data

    async def established(self) -> None:
        """Wait until the connection is made. Raises ConnectionLost and TimedOut."""
        await self.wait(WRITE)
        outcome = sockets.peek(self.descriptor, 1)
        if isinstance(outcome, int) and outcome not in sockets.WOULD_BLOCK:
            raise ConnectionLost(self.party, "connect()", -outcome)

    @property
    def connected(self) -> bool:
        """Whether the connection was made and stands."""
        same = socket.socket(fileno=self.descriptor)
        try:
            same.getpeername()
        except OSError:
            return False
        finally:
            same.detach()
        return True

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        """See `Stream.start_tls`."""
        self.tls = tls = context.connection(self.descriptor)
        while True:
            want = tls.handshake(more=more)
            self.tls = tls  # once more: where a server was chosen it is another of OpenSSL's connections
            if want is None:
                return
            await self.wait(want)

    async def end_tls(self) -> None:
        """Say goodbye in TLS and wait for the peer's, as long as `deadline` allows; nothing to do without TLS."""
        if self.tls is not None:
            while (want := self.tls.shutdown()) is not None:
                await self.wait(want)

    def timed_out(self) -> TimedOut:
        """The task's call: `deadline` has passed."""
        self.task = None
        return TimedOut(self.party)

    def _refused(self, error: OSError) -> ConnectionLost:
        """The poller will not watch the descriptor."""
        return ConnectionLost(self.party, f"{self.loop.method}()", error.errno or 0)

    def _failed(self, call: str, error: int | None) -> ConnectionLost | TlsError:
        """The C's call: what a step came to; for `error` see `TlsConnection.failure`."""
        if self.tls is not None:
            return self.tls.failure(call, error)
        return ConnectionLost(self.party, call, error or 0)
