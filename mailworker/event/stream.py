"""A byte stream to a peer that a coroutine reads from and writes to as if it blocked.

native/core/stream.c does in C what a connection does as long as nothing fails.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Generator
from collections.abc import Set as AbstractSet
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from mailworker.errors import ConnectionLost, Party, TimedOut, TlsError
from mailworker.event import sockets
from mailworker.event.choice import Choices, chosen
from mailworker.event.loop import Loop
from mailworker.event.poller import READ, WRITE
from mailworker.event.rows import NO_ROW
from mailworker.event.task import Task
from mailworker.event.transport import Plain, Transport
from mailworker.model import Address, InetAddress
from mailworker.native.core import accelerator
from mailworker.native.core.readiness import Readiness
from mailworker.tls.connection import TlsConnection

# A command, None if the peer begins, and the form of the usual reply to it: (last, others). `last` is the beginning of
# the reply's last line, or a set of all usual replies, whole. `others` is the beginning of the lines before it, None if
# there are none; or it is Choices: then no reply is usual, and lines that fit a choice get its answer.
Step = tuple[bytes | None, tuple[Any, ...]]

Agreement = tuple[bytes, bytes, bytes | None]
"""The result of a handshake: the version, OpenSSL's name of the cipher, and the name that the client sent by SNI."""

# Most bytes of one read: a stream that waits holds no buffer.
_PAGE_SIZE = 4096


class TlsContext(Protocol):
    """Makes the TLS connections of a server, or those to a backend."""

    def connection(self, descriptor: int) -> TlsConnection: ...


class Stream(Protocol):
    """The interface through which protocol code talks to a peer.

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
        """Pass all of `data` to the kernel."""

    def peek(self, limit: int) -> Awaitable[bytes]:
        """As `read`, but the bytes stay to be read; only before TLS."""

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        """Do the TLS handshake; none of its bytes may have been read before.

        `more` promises a `write` right after it, so the last bytes of the handshake may be sent with that.
        """

    def close(self) -> None:
        """Close at once; may be called again."""


class BaseStream:
    """The part of a SocketStream that `native/core/` has in C: its descriptor, its waiting, and its transport."""

    __slots__ = (
        "_closed", "_late", "_plain", "_tls", "_transport", "address", "deadline", "descriptor", "heard", "loop",
        "party", "received", "row", "sent", "step", "task", "watched",
    )  # fmt: skip

    _transport: Transport

    def __init__(
        self, loop: Loop, descriptor: int, party: Party, closed: Callable[[], None], *, watched: int = 0
    ) -> None:
        self._closed: Callable[[], None] | None = closed  # until it is closed or given away
        self._transport = self._plain = Plain(descriptor, party)
        self._tls: TlsConnection | None = None
        self._late = False  # whether it has put a write off
        self.address: Address | None = None  # what it has still to be connected to
        self.deadline = inf
        self.descriptor = descriptor
        self.heard: bytes | None = None  # the lines that fitted a choice in the last exchange
        self.loop = loop
        self.party = party
        self.received = self.sent = 0
        self.row = NO_ROW
        self.step = 0
        self.task: Task | None = None  # the task that waits
        self.watched = watched  # the events that the poller watches for; 0: the descriptor is not registered

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
        """Whether there is a TLS connection; in C, unlike `tls`, this does not make its Python object."""
        return self._tls is not None

    @property
    def agreement(self) -> Agreement | None:
        """The result of the handshake, None without TLS."""
        tls = self._tls
        return None if tls is None else (tls.protocol.encode(), tls.cipher.encode(), tls.server_name)

    async def read(self, limit: int) -> bytes:
        """See `Stream.read`. It waits before it reads, so that other streams get their turn."""
        self.reach()
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
        self.reach()
        while data:
            sent = self._transport.send(data)
            if isinstance(sent, Readiness):
                await self.wait(sent)
            else:
                self.sent += sent
                data = data[sent:]

    async def wait(self, events: int) -> None:
        """Suspend the running task until the descriptor is ready for `events`."""
        self.reach()
        self._watch(events)
        await self

    def reach(self) -> None:
        """Connect, if that was put off; raises ConnectionLost if the system refuses at once."""
        address, self.address = self.address, None
        if address is not None and (error := sockets.reach(self.descriptor, address)):
            raise unreached(address, self.party, error)

    async def _put_off(self) -> None:
        """Suspend the running task until the loop would wait again: what is sent together wakes a peer once."""
        self._late = True
        self.loop.late.append(self)
        try:
            await self
        finally:
            self._late = False

    def _watch(self, events: int) -> None:
        if self.watched == events:
            return
        try:
            (self.loop.change if self.watched else self.loop.watch)(self.descriptor, events, self)
        except OSError as error:
            raise self._refused(error) from None
        self.watched = events

    def __await__(self) -> Generator[BaseStream, None, None]:
        """Suspend the running task until the descriptor is ready."""
        yield self

    async def exchange(self, limit: int, steps: tuple[Step, ...]) -> tuple[int, bytes]:
        """Send each command as soon as the reply to the one before has come whole, in one read, and as usual.

        Returns how many replies were usual, and the last one that was read. `step` is the index of the present step,
        and `heard` holds the lines of the peer that fitted a Choice, None if there were none. Commands are sent when
        the loop would wait again.
        """
        self.heard = None
        for self.step, (command, (last, others, *_)) in enumerate(steps):
            if command is not None or self.address is not None:
                await self._put_off()
            if command is not None:
                await self.write(command)
            reply = await self.read(limit)
            if isinstance(others, tuple):
                return self.step, await self._serve(limit, others, reply)
            if not _is_whole(reply, last, others):
                return self.step, reply
        return len(steps), reply

    async def _serve(self, limit: int, choices: Choices, words: bytes) -> bytes:
        """Answer lines that fit a choice; returns the first bytes that do not."""
        while (choice := chosen(choices, words)) is not None:
            self.heard = words if self.heard is None else self.heard + words
            choices = choice.choices
            await self._put_off()
            await self.write(choice.answer)
            words = await self.read(limit)
        return words

    def park(self, task: Task) -> None:
        """See Waitable."""
        self.task = task
        if self.deadline == inf:
            self.loop.cancel_deadline(task)
        else:
            self.loop.set_deadline(task, self.deadline)

    def ready(self, mask: int) -> None:
        """Called by the poller, and with 0 for what was put off."""
        if not (self.watched if mask else self._late):
            return  # closed in the present round, or interrupted
        if self.task is None:
            watched, self.watched = self.watched, 0
            if watched:
                self.loop.unwatch(self.descriptor)
        else:
            task, self.task = self.task, None
            task.resume()

    def timed_out(self) -> TimedOut:
        """See Waitable; SocketStream makes the error."""
        raise NotImplementedError

    def _refused(self, error: OSError) -> ConnectionLost:
        """The error of a descriptor that the poller refuses to watch; SocketStream makes it."""
        raise NotImplementedError

    def hand_over(self) -> tuple[int, TlsConnection | None, int]:
        """Give away the descriptor, the TLS connection, and the events that the descriptor is watched for."""
        given = self.descriptor, self.tls, self.watched
        self._closed = self.tls = None
        self._late = False
        self.watched = 0
        return given

    def close(self) -> None:
        """See `Stream.close`."""
        closed = self._closed
        if closed is None:
            return
        descriptor, tls, watched = self.hand_over()
        if watched:
            self.loop.forget(descriptor)
        if tls is not None:
            tls.free()
        os.close(descriptor)
        closed()


def unreached(address: Address, party: Party, error: int) -> ConnectionLost:
    """The error of a connect() to `address`, as nginx writes it: a backend by TCP has no brackets."""
    name = address.bare if party is Party.BACKEND and isinstance(address, InetAddress) else address
    return ConnectionLost(party, f"connect() to {name}", error)


def _is_whole(reply: bytes, last: bytes | AbstractSet[bytes], others: bytes | None) -> bool:
    """Whether a reply is whole: it is in `last`, or its last line starts with `last`, those before with `others`."""
    if not isinstance(last, bytes):
        return reply in last
    lines = reply.split(b"\n")
    if lines.pop() or not lines or not all(line.endswith(b"\r") for line in lines):
        return False
    if any(line.endswith(b"}\r") for line in lines):  # a literal may follow
        return False
    if not lines.pop()[:-1].startswith(last):
        return False
    return not lines if others is None else all(line[:-1].startswith(others) for line in lines)


if accelerator is not None and not TYPE_CHECKING:
    BaseStream = accelerator.BaseStream


class SocketStream(BaseStream):
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
        """Whether the socket is connected."""
        try:
            with sockets.borrowed(self.descriptor) as connection:
                connection.getpeername()
        except OSError:
            return False
        return True

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        """See `Stream.start_tls`."""
        self.reach()
        self.tls = tls = context.connection(self.descriptor)
        while True:
            try:
                want = tls.handshake(more=more)
            finally:
                self.tls = tls  # once more: choosing a server by SNI may have replaced the SSL object within it
            if want is None:
                return
            await self.wait(want)

    async def end_tls(self) -> None:
        """Send close_notify and wait for the peer's, as long as `deadline` allows; does nothing without TLS."""
        if self.tls is not None:
            while (want := self.tls.shutdown()) is not None:
                await self.wait(want)

    def timed_out(self) -> TimedOut:
        """See Waitable: `deadline` has passed."""
        self.task = None
        return TimedOut(self.party)

    def _refused(self, error: OSError) -> ConnectionLost:
        """The error of a descriptor that the poller refuses to watch."""
        return ConnectionLost(self.party, f"{self.loop.method}()", error.errno or 0)

    def _unreached(self, address: Address, error: int) -> ConnectionLost:
        """Called by the C code: the error of a connection that the system refuses at once."""
        return unreached(address, self.party, error)

    def _failed(self, call: str, error: int | None) -> ConnectionLost | TlsError:
        """Called by the C code: the error of a step that failed; for `error` see `TlsConnection.failure`."""
        if self.tls is not None:
            return self.tls.failure(call, error)
        return ConnectionLost(self.party, call, error or 0)
