"""A small HTTP server without threads: one answer per connection. Connections, times and sizes are limited."""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Final, Generic, TypeVar

from mailworker.config.events import EventsSettings
from mailworker.errors import Party, PeerError
from mailworker.event import sockets
from mailworker.event.listener import Listener, OnAccept
from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task, next_round
from mailworker.model import Address
from mailworker.wire.http_request import BadRequest, HttpRequest, HttpRequestParser

MOST: Final = 64
"""The most connections; a further one replaces the oldest."""

SECONDS: Final = 5.0
"""The timeout for a request, and then for reading the answer."""

# Bytes that are read and discarded after the answer, as closing with unread data would reset the connection.
_MOST_DISCARDED: Final = 1 << 16

# Other sites can neither frame nor load the pages, and browsers do not guess their types.
_ALWAYS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Connection", "close"),
)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; `headers` are those beside the usual ones."""

    status: int
    content: bytes
    type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = field(default=())

    def encode(self, *, head: bool) -> bytes:
        """The answer as it is sent; `head` leaves the content out."""
        pairs = (("Content-Type", self.type), ("Content-Length", str(len(self.content))), *_ALWAYS, *self.headers)
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{name}: {text}" for name, text in pairs),
        ]
        return "\r\n".join((*lines, "", "")).encode() + (b"" if head else self.content)


def plain(status: int, text: str | None = None) -> Response:
    """A line of text, by default the phrase of the status."""
    return Response(status, f"{HTTPStatus(status).phrase if text is None else text}\n".encode())


ResponseSteps = Generator[None, None, Response]
"""The steps that make a large response."""

Respond = Callable[[HttpRequest, Address], Response | ResponseSteps]
"""Returns the response to a request from an address."""


class YieldingListener(Listener):
    """Accepts until another binary serves. All processes that listen on the socket are woken, as one may not accept.

    `displaced`, which must be set before `open`, tells whether another binary serves.
    """

    __slots__ = ("displaced",)

    displaced: Callable[[], bool]

    def watch(self, descriptor: int) -> None:
        """See Listener."""
        self._loop.watch(descriptor, READ, self)

    def ready(self, mask: int) -> None:
        """See Listener."""
        if self.displaced():
            self.close()
        else:
            super().ready(mask)


ConnectionT = TypeVar("ConnectionT")


class Server(ABC, Generic[ConnectionT]):
    """Serves clients of listening sockets. `on_bug` is called with unexpected exceptions.

    `_connections` are the connections by their streams, the oldest first.
    """

    __slots__ = ("_closed", "_connections", "_listeners", "_loop", "_on_bug")

    def __init__(self, loop: Loop, on_bug: Callable[[BaseException], None]) -> None:
        self._closed: Callable[[], None] | None = None
        self._listeners: list[YieldingListener] = []
        self._loop = loop
        self._on_bug = on_bug
        self._connections: dict[SocketStream, ConnectionT] = {}

    def open(
        self,
        listening: Iterable[tuple[socket.socket, bool]],
        events: EventsSettings,
        failed: Callable[[OSError], None],
        displaced: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin to accept, until `displaced` returns true, as another binary serves then.

        Each socket comes with whether its clients are readonly. `failed` is called when accept() fails.
        """
        for each, readonly in listening:
            receive = partial(self._receive, readonly)
            listener = YieldingListener(self._loop, each.fileno(), receive, failed, events)
            listener.displaced = displaced
            listener.open()
            self._listeners.append(listener)

    def close(self, done: Callable[[], None]) -> None:
        """Stop accepting, and call `done` when all clients have their answers."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        self._closed = done
        self._end_if_idle()

    def _receive(self, readonly: bool, _listening: int) -> OnAccept:
        return partial(self._take, readonly)

    def _take(self, readonly: bool, descriptor: int, peer: Address) -> None:
        """Serve a client. Without memory for that, it is disconnected."""
        try:
            stream = self._stream(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        try:
            self._accept(stream, peer, readonly)
        except BaseException:
            stream.close()
            raise

    def _stream(self, descriptor: int) -> SocketStream:
        stream = SocketStream(self._loop, descriptor, Party.CLIENT, lambda: self._leave(stream))
        return stream

    @abstractmethod
    def _accept(self, stream: SocketStream, peer: Address, readonly: bool) -> None:
        """Add a client's connection, and begin to serve it."""

    def _leave(self, stream: SocketStream) -> None:
        self._connections.pop(stream, None)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._closed is not None and not self._connections:
            done, self._closed = self._closed, None
            done()


class StatusServer(Server[Task]):
    """Answers HTTP requests; all clients are readonly."""

    __slots__ = ("_making", "_respond")

    def __init__(self, loop: Loop, respond: Respond, on_bug: Callable[[BaseException], None]) -> None:
        super().__init__(loop, on_bug)
        self._making = False  # whether a response is being made in steps
        self._respond = respond

    def _accept(self, stream: SocketStream, peer: Address, _readonly: bool) -> None:
        if len(self._connections) >= MOST:
            self._connections[next(iter(self._connections))].cancel()
        stream.deadline = self._loop.now + SECONDS
        self._connections[stream] = task = Task(self._loop, self._serve(stream, peer))
        task.resume()

    async def _serve(self, stream: SocketStream, peer: Address) -> None:
        try:
            with suppress(PeerError):
                await self._answer(stream, peer)
        finally:
            stream.close()

    async def _answer(self, stream: SocketStream, peer: Address) -> None:
        parser, request = HttpRequestParser(), None
        try:
            while request is None:
                data = await stream.read(parser.room)
                if not data:
                    return
                request = parser.feed(data)
            response = await self._response(request, peer)
        except BadRequest as bad:
            response = plain(bad.status)
        stream.deadline = self._loop.clock() + SECONDS  # the clock, as metrics of thousands of servers take long
        await stream.write(response.encode(head=request is not None and request.method == "HEAD"))
        await _drain(stream)

    async def _response(self, request: HttpRequest, peer: Address) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return Response(405, b"Method Not Allowed\n", headers=(("Allow", "GET, HEAD"),))
        try:
            found = self._respond(request, peer)
            return found if isinstance(found, Response) else await self._run_steps(found)
        except Exception as bug:
            self._on_bug(bug)
            return plain(500)

    async def _run_steps(self, steps: ResponseSteps) -> Response:
        """The response. Other requests, such as probes, are answered between the steps.

        A second response in steps is made without a pause, so that only one unfinished response takes memory.
        """
        alone, self._making = not self._making, True
        try:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    response: Response = end.value
                    return response
                if alone:
                    await next_round()
        finally:
            if alone:
                self._making = False


async def _drain(stream: SocketStream) -> None:
    """Shut down our side, and discard input until the end of file."""
    with suppress(OSError), sockets.borrowed(stream.descriptor) as client:
        client.shutdown(socket.SHUT_WR)
    left = _MOST_DISCARDED
    while left > 0 and (data := await stream.read(left)):
        left -= len(data)
