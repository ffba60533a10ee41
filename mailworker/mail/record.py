"""The records of sessions from accept to end, the entrances that they come through, and a worker's live sessions.

native/mail/record.c implements in C what each session needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from mailworker.config.listen import Listen
from mailworker.errors import Kicked, PeerError
from mailworker.event.copies import copied
from mailworker.event.lobby import Guest, QuickCheck
from mailworker.event.rows import Rows
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task
from mailworker.log.access import LineSink
from mailworker.log.log import Log
from mailworker.mail.capabilities import Opening
from mailworker.mail.client.address import client_ip
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_id import Identifier, clock_and_process
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, InetAddress
from mailworker.native.core import accelerator
from mailworker.tls.virtual_servers import VirtualServers
from mailworker.variables import facts
from mailworker.wire.auth_response import Rejected


class Traffic(facts.Traffic, Protocol):
    """A connection with byte counters; in TLS they count application data."""

    @property
    def descriptor(self) -> int: ...


class Relayed(Protocol):
    """A session in its relay; see `mailworker.mail.relay`."""

    def cut(self) -> None:
        """End the relay now, and its record, too."""

    def kick(self, why: str) -> None:
        """As `cut`, at an administrator's request; `why` is for the log."""


class Check(Protocol):
    """A check that clients must pass before they are served; see `mailworker.mail.admission`.

    The checks of two servers are equal if they give the same answer for every client. `quick` is the check that a lobby
    does instead, None if only a session can be checked.
    """

    @property
    def quick(self) -> QuickCheck | None: ...

    def refusal(self, client: Address, record: SessionRecord) -> End | None:
        """Why the client is not served, after logging it; None if it is served. Raises nothing."""


Checks = tuple[Check, ...]

_ANY: Final = ("0.0.0.0", "::")


class Entrance:
    """The entrance of clients: a `listen`, its name in the log, its server, its log, and its sessions.

    `virtual_servers` are those that clients select in a TLS handshake, None if the address has one server.
    `greets_at_once` tells whether none of these servers delays its greeting, `has_variables` whether any of them uses
    facts. `port` is the port of the `listen`, None for a unix socket; `protocol` is the mail protocol, `local` the
    address that clients connect to, None for a wildcard, `host` that address without its port, and `source` the login
    source. `at_accept` are the checks for a client at accept, `in_tls` those for one whose handshake has selected this
    server. `watched`: it belongs to a single client, of `debug_connection`.
    """

    __slots__ = (
        "at_accept", "greets_at_once", "has_variables", "host", "in_tls", "listen", "local", "log", "name", "port",
        "protocol", "server", "sessions", "source", "virtual_servers", "watched",
    )  # fmt: skip

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
        self.virtual_servers: VirtualServers[Entrance] | None = None
        self.greets_at_once = server.greets_at_once
        self.has_variables = server.has_variables
        self.watched = False
        self.at_accept: Checks = ()
        self.in_tls: Checks = ()

    @property
    def has_lobby(self) -> bool:
        """Whether all clients get the same greeting at once, and a lobby can do all checks before it."""
        quick = all(check.quick is not None for check in self.at_accept)
        alike = self.greets_at_once and self.greeting is not None and (not self.listen.ssl or self._shakes_alike)
        return quick and alike and not self.listen.proxy_protocol and not self.log.informative

    @property
    def greeting(self) -> bytes | None:
        """The greeting, None if not all clients get the same one."""
        capabilities = self.server.capabilities
        return capabilities.secure_greeting if self.listen.ssl else capabilities.greeting

    @property
    def opening(self) -> Opening | None:
        """The usual commands after the greeting, see `Capabilities`."""
        said = self.server.capabilities
        return said.secure_opening if self.listen.ssl else said.opening

    @property
    def _shakes_alike(self) -> bool:
        """Whether handshakes need no certificate, select no other server, and no variable uses their duration."""
        asks = self.server.asks_for_certificates or self.server.asks_for_handshake
        return self.server.tls is not None and self.virtual_servers is None and not asks

    def verbose(self) -> Entrance:
        """A copy of the entrance for clients of `debug_connection`."""
        entrance = copied(self)
        entrance.log, entrance.watched = self.log.verbose(), True
        return entrance


RecordT = TypeVar("RecordT", bound="SessionRecord")


class SessionRecord(SessionLog):
    """The record of a session, made at accept: its log, and the data that is used when it has ended.

    `accepted` and `logged_in` are times of the loop's clock in seconds, None if it was not logged in. `client_bytes`
    and `backend_bytes` count the bytes received from and sent to each, None if no backend was connected. `reason` is
    None as long as the session lives.
    """

    __slots__ = ("accepted", "backend_bytes", "client_bytes", "logged_in", "reason")

    accepted: float
    client_bytes: Traffic
    entrance: Entrance

    def __init__(self, entrance: Entrance) -> None:
        """The pattern of an entrance's records, which `begun` copies for each client."""
        super().__init__(entrance, 0, "")
        self.logged_in: float | None = None
        self.backend_bytes: Traffic | None = None
        self.reason: End | None = None

    def begun(self: RecordT, number: int, peer: Address, accepted: float, client_bytes: Traffic) -> RecordT:
        """A new record, copied from this pattern."""
        record = copied(self)
        record.number = number
        record.client = client_ip(peer)
        record.accepted = accepted
        record.client_bytes = client_bytes
        record.entrance.sessions.live[record] = None
        return record

    @property
    def session_id(self) -> bytes:
        return self.entrance.sessions.identify(self.accepted, self.number)

    def gave_up(self, error: PeerError) -> None:
        """See `SessionLog`."""
        self._leave_backend()
        super().gave_up(error)

    def refuse(self, _rejected: Rejected) -> None:
        """Note that the attempt was refused, by whomever: the session goes on without a backend, if it goes on."""
        self._leave_backend()
        self.backend = None

    def _leave_backend(self) -> None:
        """Count the bytes of a backend without which the session goes on."""
        traffic, self.backend_bytes = self.backend_bytes, None
        if traffic is not None and (counted := self.entrance.server.counted) is not None:
            counted.leave(traffic)

    def end(self, reason: End) -> None:
        """End the session. The first call sets the reason; later ones change nothing. Raises nothing."""
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
        rows.close(self.client_bytes.row)  # type: ignore[attr-defined] # a stream or a side, where there are rows


if accelerator is not None:
    accelerator.note_records(SessionRecord)


async def start_tls(client: SocketStream, record: SessionRecord, *, more: bool = False) -> None:
    """Do the handshake, and move the record to the server that the client selects; `more`: see `Stream.start_tls`.

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
    if entrance.virtual_servers is None:
        assert entrance.server.tls is not None
        await client.start_tls(entrance.server.tls, more=more)
        return
    selection = entrance.virtual_servers.selection()
    await client.start_tls(selection, more=more)
    record.entrance = selection.server.verbose() if entrance.watched else selection.server


EndListener = Callable[[SessionRecord], None]
"""Called once with the record of each session that has ended; an exception in it is logged as a bug."""


class Sessions:
    """The live sessions of one worker, and the listeners for their ends.

    `live` has the relay of each session that is logged in; of others it has the task if there is a session table, else
    None. `lines` takes access log lines, None if there are no access logs. `identify` gives the id of a session.
    """

    __slots__ = ("identify", "lines", "listeners", "live", "loop")

    def __init__(self, loop: facts.Clock, listeners: Sequence[EndListener] = (), lines: LineSink | None = None) -> None:
        self.identify = Identifier(*clock_and_process())
        self.loop = loop
        self.listeners = tuple(listeners)
        self.lines = lines
        # Half the size of a set of records and one of relays.
        self.live: dict[SessionRecord, Relayed | Task | None] = {}

    def cut(self) -> None:
        """End the sessions that are in a relay."""
        for relay in tuple(self.live.values()):
            if relay is not None and not isinstance(relay, Task):
                relay.cut()

    def kick(self, rows: Rows, sessions: Iterable[tuple[int, str]], why: str) -> None:
        """End the sessions with these rows and ids, in any state; a session that has reused a row is left alone.

        `why` is for the log.
        """
        for row, name in sessions:
            owner = rows.owner(row)
            if owner is None or self.identify(owner.accepted, owner.number) != name.encode():
                continue
            served = owner if isinstance(owner, Guest) else self.live.get(owner)
            if isinstance(served, Guest | Task):
                served.interrupt(Kicked(why))
            elif served is not None:
                served.kick(why)

    def end_all(self, reason: End) -> None:
        """End the records only, as the process ends now."""
        for record in tuple(self.live):
            record.end(reason)
