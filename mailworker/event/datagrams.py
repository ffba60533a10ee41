"""DNS queries to a name server over UDP: queries share a socket for a short time, then another one is opened."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from typing import Final

from mailworker.errors import ConnectionLost, Party, TimedOut
from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.event.task import WaitUntil, wait_for
from mailworker.model import InetAddress
from mailworker.wire.dns import Answer, Query, Question, id_of

MOST_SOCKETS: Final = 8
"""Sockets that may be open at once for one name server."""

# Bounds of one socket: an attacker who finds out its port has little time, and few queries, to forge an answer.
MOST_QUERIES: Final = 64
_LONGEST_USE: Final = 1.0  # seconds

# Bytes of a datagram that is read whole (nginx's NGX_RESOLVER_UDP_SIZE); without EDNS none has more than 512.
_DATAGRAM_SIZE: Final = 4096

# Datagrams that are read before others of the worker have their turn.
_AT_ONCE: Final = 16


class Datagrams:
    """Sends queries to one name server.

    A query uses the newest socket. A new one is opened when that has sent MOST_QUERIES, or is a second old, as long as
    there are fewer than MOST_SOCKETS. A socket is closed when no query waits for an answer there, so a lone query has a
    port of its own. `failed` is called once when a socket fails, however many queries wait there.
    """

    __slots__ = ("_failed", "_newest", "_open", "_server")

    def __init__(self, server: InetAddress, failed: Callable[[ConnectionLost], None]) -> None:
        self._failed = failed
        self._newest: _Socket | None = None
        self._open = 0
        self._server = server

    async def ask(self, loop: Loop, question: Question, until: float) -> tuple[Query, Answer]:
        """A query and its answer, for which it waits up to `until`. Raises TimedOut and ConnectionLost.

        Datagrams that do not answer the query are ignored: they may be late, or forged.
        """
        carrier = self._newest
        if carrier is None or carrier.closed or (carrier.used_up and self._open < MOST_SOCKETS):
            carrier = self._newest = self._new_socket(loop)
        return await carrier.ask(question, until)

    def lost(self, error: ConnectionLost) -> None:
        """Called by a socket that has failed."""
        self._failed(error)

    def release(self) -> None:
        """Called by a socket that was closed."""
        self._open -= 1

    def _new_socket(self, loop: Loop) -> _Socket:
        try:
            carrier = _Socket(loop, self._server, self)
        except OSError as error:
            lost = ConnectionLost(Party.RESOLVER, f"connect() to {self._server}", error.errno or 0)
            self._failed(lost)
            raise lost from None
        self._open += 1
        return carrier


class _Pending(WaitUntil):
    """A query that waits for its answer."""

    __slots__ = ("answer", "query")

    def __init__(self, query: Query, until: float) -> None:
        super().__init__(until)
        self.answer: Answer | None = None
        self.query = query

    def timed_out(self) -> TimedOut:
        """No answer has come in time."""
        return TimedOut(Party.RESOLVER)


class _Socket:
    """A socket with the queries that wait there; it is connected, so that only the server's datagrams reach it."""

    __slots__ = ("_datagrams", "_loop", "_put", "_socket", "_until", "_waiting", "closed")

    def __init__(self, loop: Loop, server: InetAddress, datagrams: Datagrams) -> None:
        """Raises OSError."""
        self._datagrams = datagrams
        self._loop = loop
        self._put = 0
        self._until = loop.now + _LONGEST_USE
        self._waiting: dict[int, _Pending] = {}
        self.closed = False
        self._socket = socket.socket(socket.AF_INET6 if server.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect((server.host, server.port))
            loop.watch(self._socket.fileno(), READ, self)
        except OSError:
            self._socket.close()
            raise

    @property
    def used_up(self) -> bool:
        """Whether another socket should send the next query."""
        return self._put >= MOST_QUERIES or self._loop.now >= self._until

    async def ask(self, question: Question, until: float) -> tuple[Query, Answer]:
        """See `Datagrams.ask`."""
        query = self._new_query(question)
        pending = self._waiting[query.id] = _Pending(query, until)
        try:
            self._send(query)
            await wait_for(pending)
        finally:
            self._waiting.pop(query.id, None)
            if not self._waiting:
                self._close()
        assert pending.answer is not None
        return query, pending.answer

    def ready(self, mask: int) -> None:
        """Called by the poller: datagrams have come, or an error of an earlier one."""
        for _ in range(_AT_ONCE):
            if self.closed:
                return
            try:
                message = self._socket.recv(_DATAGRAM_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail("recv()", error)
                return
            self._take(message)

    def _take(self, message: bytes) -> None:
        pending = self._waiting.get(id_of(message))
        if pending is not None and pending.task is not None:
            pending.answer = pending.query.read(message)
            if pending.answer is not None:
                pending.task.resume()

    def _new_query(self, question: Question) -> Query:
        number = secrets.randbits(16)
        while number in self._waiting:
            number = secrets.randbits(16)
        return Query(number, question)

    def _send(self, query: Query) -> None:
        self._put += 1
        try:
            self._socket.send(query.to_wire())
        except BlockingIOError:
            return  # as if the datagram were lost on its way
        except OSError as error:
            raise self._fail("send()", error) from None

    def _fail(self, call: str, error: OSError) -> ConnectionLost:
        """End all queries that wait here; returns the error for the query that is just being sent."""
        waiting, self._waiting = self._waiting, {}
        self._close()
        lost = ConnectionLost(Party.RESOLVER, call, error.errno or 0)
        self._datagrams.lost(lost)
        for pending in waiting.values():
            if pending.task is not None:
                pending.task.resume(ConnectionLost(Party.RESOLVER, call, lost.errno))
        return lost

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._datagrams.release()
