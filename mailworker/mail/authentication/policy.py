"""The service of `auth_policy`: asking it, and reporting the results of logins to it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from typing import Final

from mailworker.config.auth_policy import AuthPolicySettings
from mailworker.errors import ConnectionLost, OutOfConnections, Party, PeerError, TimedOut
from mailworker.event.connections import Connections
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task
from mailworker.mail.authentication.idle import IdleConnections
from mailworker.mail.session_log import SessionLog
from mailworker.wire.auth_policy import Decision, PolicyReader, PolicyTemplate

Fields = Mapping[str, object]

_KEPT: Final = 16  # idle connections
_READ_SIZE: Final = 4096


class PolicyService:
    """The policy service of a worker. Each question has its own connection; some are kept for later questions."""

    __slots__ = ("_address", "_idle", "_template", "_timeout", "name")

    def __init__(self, settings: AuthPolicySettings) -> None:
        self._address = settings.address
        self._idle = IdleConnections(_KEPT)
        self._template = PolicyTemplate(settings.uri, settings.host, settings.headers)
        self._timeout = settings.timeout
        self.name = settings.name

    async def ask(self, connections: Connections, command: str, fields: Fields) -> Decision:
        """The service's decision on a command. Raises a PeerError of Party.AUTH_SERVICE, and OutOfConnections."""
        request = self._template.request(command, fields)
        idle = self._idle.take(connections)
        if idle is not None:
            try:
                return await self._converse(connections, idle, request)
            except ConnectionLost:
                if idle.received:
                    raise
            # The service closed it just as we began, which is allowed (RFC 9112 section 9.3.1).
        return await self._converse(connections, connections.connect(self._address, Party.AUTH_SERVICE), request)

    async def _converse(self, connections: Connections, stream: SocketStream, request: bytes) -> Decision:
        stream.deadline = stream.loop.now + self._timeout
        reader = PolicyReader()
        try:
            await stream.write(request)
            while (decision := reader.next()) is None:
                data = await stream.read(_READ_SIZE)
                if not data and not stream.received:
                    raise ConnectionLost(Party.AUTH_SERVICE, "recv()", 0)
                reader.feed(data)
            if reader.reusable:
                self._idle.keep(connections, stream)
            return decision
        finally:
            stream.close()

    def complain(self, error: PeerError, log: SessionLog) -> None:
        """Log that the service has not answered."""
        if isinstance(error, TimedOut):
            what = f"auth policy server {self.name} timed out (110: Connection timed out)"
        elif not isinstance(error, ConnectionLost):
            what = f"auth policy server {self.name} {error}"
        elif error.errno:
            what = f"auth policy server {self.name}: {error} ({error.errno}: {os.strerror(error.errno)})"
        else:
            what = f"auth policy server {self.name} prematurely closed connection"
        log.error(what)

    def close(self) -> None:
        """Close the connections that are kept for later questions."""
        self._idle.close()


class Reports:
    """Reports results of logins to a service in the background: some at the same time, the others queue.

    `lost` counts the reports that the service did not get, as the queue was full or it did not answer.
    """

    __slots__ = ("_senders", "_service", "_waiting", "lost")

    AT_ONCE: Final = 16
    MOST: Final = 1000

    def __init__(self, service: PolicyService) -> None:
        self._senders = 0
        self._service = service
        self._waiting: deque[tuple[Fields, SessionLog]] = deque()
        self.lost = 0

    def add(self, connections: Connections, fields: Fields, log: SessionLog) -> None:
        """Add a report. Raises nothing."""
        if len(self._waiting) >= self.MOST:
            self._lose(1, log)
            return
        self._waiting.append((fields, log))
        if self._senders >= self.AT_ONCE:
            return
        try:
            connections.take()  # so that the worker does not exit before all reports are sent
        except OutOfConnections:
            if not self._senders:
                self._lose_all(log)
            return
        self._senders += 1
        Task(connections.loop, self._send(connections)).resume()

    async def _send(self, connections: Connections) -> None:
        try:
            while self._waiting:
                await self._tell(connections, *self._waiting.popleft())
        finally:
            self._senders -= 1
            connections.release()

    async def _tell(self, connections: Connections, fields: Fields, log: SessionLog) -> None:
        try:
            await self._service.ask(connections, "report", fields)
        except PeerError as error:
            self._service.complain(error, log)
            self._lose(1, None)
            if isinstance(error, TimedOut):  # the queued reports would only wait as long
                self._lose_all(log)
        except OutOfConnections:
            self._lose(1, log)

    def _lose_all(self, log: SessionLog) -> None:
        count = len(self._waiting)
        self._waiting.clear()
        self._lose(count, log)

    def _lose(self, count: int, log: SessionLog | None) -> None:
        """Count lost reports; logs each time that the number has doubled."""
        before, self.lost = self.lost, self.lost + count
        if log is not None and self.lost.bit_length() > before.bit_length():
            log.error(f"auth policy server {self._service.name} was not told of {self.lost} logins")
