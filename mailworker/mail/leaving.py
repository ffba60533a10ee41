"""The end of a session before its relay, and which End an error means."""

from __future__ import annotations

import errno
from contextlib import suppress

from mailworker.errors import (
    ConnectionLost,
    Kicked,
    OutOfConnections,
    Party,
    PeerError,
    ProtocolError,
    TimedOut,
    TlsError,
)
from mailworker.event.connections import Connections
from mailworker.event.stream import SocketStream
from mailworker.mail.backend.backend import TlsRefused, Unsafe
from mailworker.mail.dialogue.dialogue import AnyDialogue
from mailworker.mail.end import End, Farewell
from mailworker.mail.record import SessionRecord
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import Level
from mailworker.wire.backend import InvalidReply

# Seconds that a client gets to answer our close_notify (nginx's lingering of TLS connections).
_GOODBYE_TIMEOUT = 3.0

_BY_BUG = Farewell(End.BUG)


class Leaving:
    """The part of a session that ends it; `backend` is the backend's connection while the session must close it."""

    __slots__ = ("_dialogue", "backend", "connections", "log", "server", "stream")

    log: SessionRecord
    stream: SocketStream

    def __init__(self, record: SessionRecord, connections: Connections) -> None:
        self.server = record.entrance.server
        self.log = record
        self.connections = connections
        self.backend: SocketStream | None = None
        self._dialogue: AnyDialogue | None = None

    @property
    def dialogue(self) -> AnyDialogue:
        """The dialogue with the client; it is made when it is needed, as most clients only send a usual login."""
        dialogue = self._dialogue
        if dialogue is None:
            self._dialogue = dialogue = self._new_dialogue()
        return dialogue

    def _new_dialogue(self) -> AnyDialogue:
        raise NotImplementedError

    async def fail(self, error: Exception) -> None:
        """See `Chain.fail`: log why the session ends, and tell the client."""
        farewell = _BY_BUG
        try:
            reason = end_by(error, self.stream, self.backend)
            farewell = Farewell(reason, self.dialogue.internal_error)
            if isinstance(error, PeerError):
                words = _blame(error, self.dialogue, self.server, self.log)
                farewell = Farewell(self.dialogue.over or reason, words)
            elif isinstance(error, OutOfConnections):
                self.log.write(Level.ALERT, str(error))
            else:
                self.log.bug(error)
        finally:
            await self.part(farewell)

    async def part(self, farewell: Farewell) -> None:
        """The last link of a session without a relay."""
        if self._dialogue is not None:
            self._dialogue.start_over()
        self.close_backend()  # the client may take long to read the last reply
        try:
            if farewell.words is not None and not self._awaits_handshake:
                await self._take_leave(farewell.words)
        except PeerError as error:
            self.log.fault(error)  # the client did not even wait for our last reply
        finally:
            self.log.end(farewell.reason)
            self.stream.close()

    @property
    def _awaits_handshake(self) -> bool:
        """Whether the client expects a TLS handshake, so that it cannot read a reply in clear."""
        return (self.log.entrance.listen.ssl or self.log.starttls) and not self.stream.secure

    async def _take_leave(self, last_words: bytes) -> None:
        self.renew_deadline()
        await self.stream.write(last_words)
        self.stream.deadline = self.connections.loop.now + _GOODBYE_TIMEOUT
        with suppress(TimedOut, ConnectionLost):  # it need not answer our close_notify
            await self.stream.end_tls()

    def close_backend(self) -> None:
        backend, self.backend = self.backend, None
        if backend is not None:
            backend.close()

    def renew_deadline(self) -> None:
        self.stream.deadline = self.connections.loop.now + self.server.settings.timeout


def _blame(error: PeerError, dialogue: AnyDialogue, server: Server, log: SessionLog) -> bytes | None:
    """Log a peer's error; gives the reply to the client, None if it can get none."""
    if isinstance(error, Unsafe):
        log.write(Level.INFO if error.known else Level.ERROR, str(error))
        return error.answer
    quoting = server.settings.proxy.pass_error_message
    if quoting and isinstance(error, InvalidReply) and error.reply.is_quotable:
        log.info(str(error))
        return error.reply.data
    log.fault(error, server.login_source.name)
    if error.party is not Party.CLIENT:
        return dialogue.internal_error
    refused = isinstance(error, ProtocolError)  # a login that no backend may get
    return dialogue.invalid() if refused else None


_USED_UP = frozenset(
    {errno.EADDRNOTAVAIL, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC}
)

# The errors of an established connection; all others mean that it was not established.
_BROKEN = frozenset({0, errno.ECONNRESET, errno.EPIPE})


def end_by(error: Exception, client: SocketStream, backend: SocketStream | None) -> End:
    """The End for an error that ends a session before its relay; `backend` is None until there is a connection."""
    if isinstance(error, OutOfConnections | MemoryError):
        return End.RESOURCES
    if not isinstance(error, PeerError):
        return End.BUG
    if isinstance(error, ConnectionLost) and error.errno in _USED_UP:
        return End.RESOURCES
    if error.party is Party.CLIENT:
        return _end_by_client(error, client)
    if error.party is Party.AUTH_SERVICE:
        return End.AUTH_TIMEOUT if isinstance(error, TimedOut) else End.AUTH_ERROR
    return _end_before_backend(error) if backend is None else _end_by_backend(error, backend)


def end_in_handshake(error: PeerError, client: SocketStream) -> End:
    """The End for an error that ends a client's handshake."""
    if isinstance(error, Kicked):
        return End.KICKED
    if isinstance(error, TimedOut):
        return End.TLS_TIMEOUT
    heard = client.received or client.tls is None or client.tls.received
    return End.TLS_FAILED if heard else End.NO_BYTES


def _end_by_client(error: PeerError, client: SocketStream) -> End:
    if isinstance(error, Kicked):
        return End.KICKED
    if isinstance(error, TimedOut):
        return End.CLIENT_TIMEOUT
    if isinstance(error, ProtocolError):
        return End.INVALID_COMMAND
    return End.CLIENT_LEFT if client.received else End.NO_BYTES


def _end_before_backend(error: PeerError) -> End:
    return End.BACKEND_CONNECT_TIMEOUT if isinstance(error, TimedOut) else End.BACKEND_CONNECT


def _end_by_backend(error: PeerError, backend: SocketStream) -> End:
    if isinstance(error, TimedOut):
        return End.BACKEND_TIMEOUT if backend.connected else End.BACKEND_CONNECT_TIMEOUT
    if isinstance(error, InvalidReply):
        return _end_by_reply(error)
    if isinstance(error, TlsError | TlsRefused) or (isinstance(error, ConnectionLost) and error.in_handshake):
        return End.BACKEND_TLS
    if isinstance(error, ConnectionLost) and not backend.received and error.errno not in _BROKEN:
        return End.BACKEND_CONNECT
    return End.BACKEND_PROTOCOL


def _end_by_reply(error: InvalidReply) -> End:
    if error.reply.refuses_for_now:
        return End.BACKEND_TEMP
    return End.BACKEND_AUTH if error.reply.refuses else End.BACKEND_PROTOCOL
