"""What is known of a session from accept to its end, the one way in which it ends, and which end an error means.

native/core/record.c has in C what each session does.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from mailworker.config.listen import Listen
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
from mailworker.event.copies import copied
from mailworker.event.lobby import Check as Quick
from mailworker.event.lobby import Guest
from mailworker.event.rows import NO_ROW, Rows
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task
from mailworker.log.access import LineSink
from mailworker.log.log import Log
from mailworker.mail.backend.backend import TlsRefused
from mailworker.mail.capabilities import Opening
from mailworker.mail.client.address import client_ip
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_id import identifier
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, InetAddress
from mailworker.native.core import accelerator
from mailworker.tls.door import Door
from mailworker.variables import facts
from mailworker.wire.backend import InvalidReply


class Traffic(facts.Traffic, Protocol):
    """A connection, whose bytes are counted, in TLS those of its data."""

    @property
    def descriptor(self) -> int: ...


class Relayed(Protocol):
    """A session that is logged in; see `mailworker.mail.relay`."""

    def cut(self) -> None:
        """End it now, and its record with it."""

    def kick(self, why: str) -> None:
        """The same because somebody wants it so; `why` is for the log."""


class Check(Protocol):
    """One thing that is asked of clients before they are served; see `mailworker.mail.admission`.

    Those of two servers are equal if they have the same answer for every client. `quick` is what a lobby asks in its
    place, None where only a session can be asked about.
    """

    @property
    def quick(self) -> Quick | None: ...

    def refusal(self, client: Address, record: SessionRecord) -> End | None:
        """Why the client is not served, after telling the record's log; None where it is. Raises nothing."""


Checks = tuple[Check, ...]


class Entrance:
    """Where clients connect: a `listen`, its name in the log, the server, the log, and the clients.

    `door` leads to those servers of the address that clients ask for in a TLS handshake, None where nothing is to be
    chosen there. `greets_at_once` tells whether none of all these servers lets a client wait for its greeting.
    `has_variables` tells whether any of them asks for facts. `port` is that of the `listen`, None for a unix socket;
    `protocol` is what clients speak, `local` the address that they connect to, None where it may be any, `host` the
    same without its port, and `source` who decides about logins. `at_accept` is what is asked about a client that has
    come, `in_tls` about one whose handshake has led to this server.
    """

    __slots__ = (
        *(
            "at_accept",
            "door",
            "greets_at_once",
            "has_variables",
            "host",
            "in_tls",
            "listen",
            "local",
            "log",
            "name",
            "port",
            "protocol",
            "server",
        ),
        *("sessions", "source", "watched"),
    )

    def __init__(self, listen: Listen, server: Server, log: Log, sessions: Sessions) -> None:
        self.listen = listen
        self.name = str(listen.address)
        self.protocol = server.settings.protocol
        inet = listen.address if isinstance(listen.address, InetAddress) else None
        self.port = None if inet is None else inet.port
        self.local = None if inet is not None and inet.host in _ANY else listen.address
        self.host = None if inet is None or self.local is None else inet.host
        self.server = server
        self.log = log
        self.sessions = sessions
        self.source = server.login_source.kind
        self.door: Door[Entrance] | None = None
        self.greets_at_once = server.greets_at_once
        self.has_variables = server.has_variables
        self.watched = False
        self.at_accept: Checks = ()
        self.in_tls: Checks = ()

    @property
    def has_lobby(self) -> bool:
        """Whether clients are greeted at once and alike, and before they speak no more is asked than a lobby can."""
        asked = all(check.quick is not None for check in self.at_accept)
        plain = asked and not self.listen.proxy_protocol
        at_once = self.greets_at_once and self.greeting is not None and (not self.listen.ssl or self._shakes_alike)
        return plain and at_once and not self.log.informative

    @property
    def greeting(self) -> bytes | None:
        """What clients hear first, None where not all hear the same."""
        capabilities = self.server.capabilities
        return capabilities.secure_greeting if self.listen.ssl else capabilities.greeting

    @property
    def opening(self) -> Opening | None:
        """What they may say to that, see `Capabilities`."""
        said = self.server.capabilities
        return said.secure_opening if self.listen.ssl else said.opening

    @property
    def _shakes_alike(self) -> bool:
        """Whether handshakes ask for no certificate and lead to no other server, and nobody asks how long they take."""
        asks = self.server.asks_for_certificates or self.server.asks_for_handshake
        return self.server.tls is not None and self.door is None and not asks

    def verbose(self) -> Entrance:
        """The same for a client of `debug_connection`."""
        entrance = Entrance(self.listen, self.server, self.log.verbose(), self.sessions)
        entrance.door, entrance.greets_at_once, entrance.watched = self.door, self.greets_at_once, True
        entrance.has_variables = self.has_variables
        entrance.at_accept, entrance.in_tls = self.at_accept, self.in_tls
        return entrance


class SessionRecord(SessionLog):
    """Made at accept; it says what the log does, and holds what others want to know when the session has ended.

    `accepted` and `logged_in` are times of the loop's clock in seconds, None where it was not logged in. `client_bytes`
    and `backend_bytes` count what came from each and was sent to it, None for a backend that was not connected to.
    `reason` is None as long as the session lives. `row` is the session's in the session table, where there is one;
    there `task` is what it runs in before its relay.
    """

    __slots__ = ("accepted", "backend_bytes", "client_bytes", "logged_in", "reason")

    entrance: Entrance
    row: int = NO_ROW
    task: Task | None = None

    def __init__(self, entrance: Entrance, number: int, client: str, accepted: float, client_bytes: Traffic) -> None:
        self._blank(entrance)
        self._begin(number, client, accepted, client_bytes)

    def _blank(self, entrance: Entrance) -> None:
        """What all have in common that come in there; all that SessionLog sets is set here and in `_begin`."""
        self.entrance = entrance
        self.action = None
        self.starttls = False
        self.login = b""
        self.backend = None
        self.logged_in: float | None = None
        self.backend_bytes: Traffic | None = None
        self.reason: End | None = None

    def _begin(self, number: int, client: str, accepted: float, client_bytes: Traffic) -> None:
        self.number = number
        self.client = client
        self.accepted = accepted
        self.client_bytes = client_bytes
        self.entrance.sessions.live[self] = None

    @classmethod
    def pattern(cls, entrance: Entrance) -> SessionRecord:
        """What `begun` copies: the record of nobody."""
        pattern = cls.__new__(cls)
        pattern._blank(entrance)
        return pattern

    def begun(self, number: int, peer: Address, accepted: float, client_bytes: Traffic) -> SessionRecord:
        """A record for which this one is the pattern."""
        record = copied(self)
        record.number = number
        record.client = peer.host if isinstance(peer, InetAddress) else client_ip(peer)  # spares a call
        record.accepted = accepted
        record.client_bytes = client_bytes
        record.entrance.sessions.live[record] = None
        return record

    def take_row(self, row: int, task: Task | None = None) -> None:
        """The session has this row, and runs in `task`: only where there are rows."""
        self.row, self.task = row, task  # type: ignore[misc] # of a class that has them

    @property
    def session_id(self) -> bytes:
        return self.entrance.sessions.identify(self.accepted, self.number)

    def end(self, reason: End) -> None:
        """The session is over. The first call tells why; later ones change nothing. Raises nothing."""
        if self.reason is not None:
            return
        self.reason = reason
        sessions, server = self.entrance.sessions, self.entrance.server
        del sessions.live[self]
        if (rows := server.rows) is not None:
            self._leave_row(rows)
        if (counted := server.counted) is not None:
            counted.end(self)
        for listener in sessions.listeners:
            try:
                listener(self)
            except Exception as bug:
                self.bug(bug)

    def _leave_row(self, rows: Rows) -> None:
        rows.close(self.row)
        self.task = None  # type: ignore[misc] # they know each other


if accelerator is not None:
    accelerator.note_records(SessionRecord)


class ListedRecord(SessionRecord):
    """The record of a session that may have a row."""

    __slots__ = ("row", "task")


async def start_tls(client: SocketStream, record: SessionRecord, *, more: bool = False) -> None:
    """Shake hands, and move the record to the server that the client has asked for; for `more` see `Stream.start_tls`.

    Raises a PeerError.
    """
    counted, loop = record.entrance.server.counted, record.entrance.sessions.loop
    began = loop.now
    try:
        await _start_tls(client, record, more=more)
    except PeerError as error:
        if counted is not None:
            counted.fail_handshake(error)
        raise
    there = record.entrance.server.counted
    if counted is not None and there is not None and client.tls is not None:
        if there is not counted:
            counted.move(there)
        there.shake_hands(client.tls, loop.now - began)


async def _start_tls(client: SocketStream, record: SessionRecord, *, more: bool) -> None:
    entrance = record.entrance
    if entrance.door is None:
        assert entrance.server.tls is not None
        await client.start_tls(entrance.server.tls, more=more)
        return
    visit = entrance.door.visit()
    await client.start_tls(visit, more=more)
    record.entrance = visit.host.verbose() if entrance.watched else visit.host


EndListener = Callable[[SessionRecord], None]
"""Called once with the record of each session that has ended; what it raises is logged as a bug."""


class Sessions:
    """Those of one worker that have not ended, with the relay of each that is logged in, and who hears of ends.

    `lines` takes what the access logs say, None where there are none. `identify` gives what a session is called.
    """

    __slots__ = ("identify", "lines", "listeners", "live", "loop")

    def __init__(self, loop: facts.Clock, listeners: Sequence[EndListener] = (), lines: LineSink | None = None) -> None:
        self.identify = identifier()
        self.loop = loop
        self.listeners = tuple(listeners)
        self.lines = lines
        self.live: dict[SessionRecord, Relayed | None] = {}  # half the size of a set of records and one of relays

    def cut(self) -> None:
        """End those that are relayed."""
        for relay in tuple(self.live.values()):
            if relay is not None:
                relay.cut()

    def kick(self, rows: Rows, sessions: Iterable[tuple[int, str]], why: str) -> None:
        """End some, whatever they are doing, each by its row and by what it is called: who has the row by now stays.

        `why` is for the log.
        """
        for row, name in sessions:
            owner = rows.owner(row)
            if owner is None or self.identify(owner.accepted, owner.number) != name.encode():
                continue
            relay, waiting = self.live.get(owner), owner if isinstance(owner, Guest) else owner.task
            if relay is not None:
                relay.kick(why)
            elif waiting is not None:
                waiting.interrupt(Kicked(why))

    def end_all(self, reason: End) -> None:
        """Whatever they are doing, the process ends now: only their records do."""
        for record in tuple(self.live):
            record.end(reason)


_ANY = ("0.0.0.0", "::")

_USED_UP = frozenset(
    {errno.EADDRNOTAVAIL, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC}
)

# What a connection that was made fails with; all else tells that it was not made.
_BROKEN = frozenset({0, errno.ECONNRESET, errno.EPIPE})


def end_by(error: Exception, client: SocketStream, backend: SocketStream | None) -> End:
    """What `error` means that ends a session before its relay; `backend` is None until there is a connection."""
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
    """What `error` means that ends a client's handshake."""
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
