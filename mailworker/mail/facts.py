"""The data of a session for variables; it is kept only where the configuration uses such variables.

native/core/record.c implements in C the parts that run for each login.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from mailworker.errors import PeerError
from mailworker.event.copies import copied
from mailworker.event.poller import READ, WRITE
from mailworker.event.sockets import local_address
from mailworker.event.stream import SocketStream
from mailworker.log.access import LineSink
from mailworker.log.access_logs import ReadyLog, write_lines
from mailworker.mail.client.address import client_ip
from mailworker.mail.client.client import Client
from mailworker.mail.client.host import UNAVAILABLE
from mailworker.mail.end import End
from mailworker.mail.record import Entrance, SessionRecord, Traffic
from mailworker.model import Address, AuthMethod, InetAddress
from mailworker.native.core import accelerator
from mailworker.tls.connection import TlsConnection
from mailworker.variables.prefix import Lengths
from mailworker.variables.table import address_text
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.imap_id import by_name
from mailworker.wire.login import Login, SmtpEnvelope
from mailworker.wire.proxy_protocol import ProxyHeader


class BackendTry(NamedTuple):
    """See `mailworker.variables.facts.Try`."""

    address: bytes
    connect: float | None
    first_byte: float | None
    login: float | None
    session: float
    received: int
    sent: int


class _Who(NamedTuple):
    """The part of a `Client` that is kept while its session is relayed."""

    peer: Address
    host: bytes
    proxy_header: ProxyHeader | None


@dataclass(slots=True)
class Rare:
    """Data that most sessions do not have: its fields would take too much memory in thousands of relayed sessions.

    `tries` are the finished ones. `connect` and `first_byte` belong to the last one; they are in seconds, like
    `handshake`.
    """

    client_id: bytes = b""
    connect: float | None = None
    envelope: SmtpEnvelope | None = None
    limit_conn: bytes | None = None
    first_byte: float | None = None
    handshake: float | None = None
    headers: Mapping[str, bytes] | None = None
    helo: bytes = b""
    limited: tuple[bytes, bytes] | None = None
    refusals: int = 0
    refused_for_now: bool = False
    tries: list[BackendTry] = field(default_factory=list)


class SessionFacts(SessionRecord):
    """A record that gives variables their values, see `mailworker.variables.facts.Facts`.

    `auth_ms` is the time of the decision about the last attempt, `login_ms` that of the login at the backend. They are
    integers, as small ones take no memory. `started` is when that login began, None before and after it.
    """

    __slots__ = (
        *("who", "attempts", "auth_ms", "auth_user", "event", "login_ms", "method", "port", "rare", "started"),
    )

    def __init__(self, entrance: Entrance, number: int, client: Client, accepted: float) -> None:
        SessionRecord.__init__(self, entrance, number, client.ip, accepted, client.stream)
        self._come(client.address)

    def _blank(self, entrance: Entrance) -> None:
        SessionRecord._blank(self, entrance)
        self.who: Client | _Who | None = None
        self.attempts = 0
        self.auth_ms: int | None = None
        self.auth_user: bytes | None = None
        self.event: str | None = None
        self.login_ms: int | None = None
        self.method: AuthMethod | None = None
        self.port: int | None = None
        self.rare: Rare | None = None
        self.started: float | None = None

    def _come(self, peer: Address) -> None:
        if isinstance(peer, InetAddress):
            self.port = peer.port
        else:
            self.who = _Who(peer, UNAVAILABLE, None)

    def begun(self, number: int, peer: Address, accepted: float, client_bytes: Traffic) -> SessionRecord:
        """See `SessionRecord`."""
        record = copied(self)
        record._begin(number, client_ip(peer), accepted, client_bytes)
        record._come(peer)
        return record

    def _last_try(self, rare: Rare | None) -> BackendTry:
        now, login, traffic = self.entrance.sessions.loop.now, self.login_ms, self.backend_bytes
        since = self.started if self.started is not None else self.logged_in
        seconds = None if login is None else login / 1000
        before = seconds if seconds is not None and self.started is None else 0.0
        return BackendTry(
            address_text(self.backend),
            None if rare is None else rare.connect,
            None if rare is None else rare.first_byte,
            seconds,
            before + (0.0 if since is None else now - since),
            0 if traffic is None else traffic.received,
            0 if traffic is None else traffic.sent,
        )

    @property
    def tries(self) -> list[BackendTry]:
        """See `mailworker.variables.facts.Facts`."""
        rare = self.rare
        over = [] if rare is None else rare.tries
        return over if self.started is None and self.login_ms is None else [*over, self._last_try(rare)]

    @property
    def protocol(self) -> str:
        return self.entrance.protocol

    @property
    def server_name(self) -> bytes:
        return self.entrance.server.settings.server_name

    @property
    def peer(self) -> Address:
        who = self.who
        if who is not None:
            return who.peer
        assert self.port is not None
        return InetAddress(self.client, self.port)

    @property
    def local(self) -> Address:
        return self.entrance.local or local_address(self.client_bytes.descriptor)

    @property
    def local_port(self) -> int | None:
        return self.entrance.port

    @property
    def proxy_texts(self) -> tuple[bytes, bytes, bytes, bytes] | None:
        header = None if self.who is None else self.who.proxy_header
        return None if header is None else header.texts

    @property
    def proxy_tlvs(self) -> bytes:
        header = None if self.who is None else self.who.proxy_header
        return b"" if header is None else header.tlvs

    @property
    def host(self) -> bytes:
        return UNAVAILABLE if self.who is None else self.who.host

    @property
    def tls(self) -> TlsConnection | None:
        tls: TlsConnection | None = self.client_bytes.tls
        return tls

    @property
    def remote_user(self) -> bytes | None:
        return self.login if self.attempts else None

    @property
    def helo(self) -> bytes | None:
        return None if self.rare is None else self.rare.helo

    @property
    def envelope(self) -> SmtpEnvelope | None:
        return None if self.rare is None else self.rare.envelope

    @property
    def client_id(self) -> bytes:
        return b"" if self.rare is None else self.rare.client_id

    @property
    def client_id_fields(self) -> Mapping[bytes, bytes]:
        return by_name(self.client_id)

    @property
    def refusals(self) -> int:
        return 0 if self.rare is None else self.rare.refusals

    @property
    def refused_for_now(self) -> bool:
        return self.rare is not None and self.rare.refused_for_now

    @property
    def received(self) -> int:
        return self.client_bytes.received

    @property
    def sent(self) -> int:
        return self.client_bytes.sent

    @property
    def seconds(self) -> float:
        return self.entrance.sessions.loop.now - self.accepted

    @property
    def auth_seconds(self) -> float | None:
        return None if self.auth_ms is None else self.auth_ms / 1000

    @property
    def handshake_seconds(self) -> float | None:
        return None if self.rare is None else self.rare.handshake

    @property
    def auth_source(self) -> str | None:
        return self.entrance.source if self.attempts else None

    @property
    def prefix_lengths(self) -> Lengths:
        return self.entrance.server.settings.limit_auth.prefix

    @property
    def limited(self) -> tuple[bytes, bytes] | None:
        return None if self.rare is None else self.rare.limited

    @property
    def limit_conn_status(self) -> bytes | None:
        settings = self.entrance.server.settings.limit_conn
        rejected = None if self.rare is None else self.rare.limit_conn
        return rejected or (b"PASSED" if settings.limits else None)

    def auth_header(self, name: str) -> bytes | None:
        """See `mailworker.variables.facts.Facts`."""
        rare = self.rare
        return None if rare is None or rare.headers is None else rare.headers.get(name)


class FactsRecord(SessionFacts):
    """The record of a session whose facts are used: it is told of each event, and writes the access logs."""

    __slots__ = ()

    def come_from(self, client: str, port: int | None) -> None:
        """See `SessionLog`."""
        self.client = client
        self.port = port

    def learn(self, client: Client) -> None:
        """Keep what is known about the client besides its address: its name, a PROXY header."""
        self.who = client

    def shaken_hands(self, seconds: float) -> None:
        """Note the duration of the client's handshake."""
        if self.entrance.server.asks_for_handshake:
            self._rare().handshake = seconds

    def attempt(self, login: Login, number: int) -> None:
        """Note that the `number`-th attempt to log in begins."""
        self.attempts = number
        self.auth_user = login.name
        self.method = login.method
        if login.helo or login.client_id or login.envelope is not None:
            self._introduce(login)

    def _introduce(self, login: Login) -> None:
        rare = self._rare()
        rare.helo, rare.client_id, rare.envelope = login.helo, login.client_id, login.envelope

    def settle(
        self, verdict: Accepted | Rejected, headers: Mapping[str, bytes] | None, began: float
    ) -> Accepted | Rejected:
        """Note the verdict on the attempt that `began` then; gives it, with a backend added if it names none.

        `headers` are the headers of the answer that variables use. Raises ProtocolError if there is no backend.
        """
        entrance = self.entrance
        now = entrance.sessions.loop.now
        self.auth_ms = int((now - began) * 1000 + 0.5)
        if headers is not None:
            self._keep_headers(headers)
        if not verdict.accepted:
            return verdict
        if verdict.address is None and entrance.server.backend is not None:
            verdict = self._choose(verdict)
        self.started = now
        return verdict

    def _keep_headers(self, headers: Mapping[str, bytes]) -> None:
        self._rare().headers = headers

    def _choose(self, verdict: Accepted) -> Accepted:
        """Add the backend that the configuration names."""
        choose = self.entrance.server.backend
        assert choose is not None
        self.action = "choosing upstream"
        return replace(verdict, address=choose(self))

    async def follow_try(self, stream: SocketStream) -> None:
        """Wait for those times of a connection, made or pending, that variables use. Raises TimedOut."""
        server, loop, rare, started = self.entrance.server, self.entrance.sessions.loop, self._rare(), self.started
        assert started is not None
        asked = server.settings.access_log.asked
        if "upstream_connect_time" in asked:
            await stream.wait(WRITE)
            rare.connect = loop.now - started
        if "upstream_first_byte_time" in asked and server.backend_tls is None:
            await stream.wait(READ)
            rare.first_byte = loop.now - started

    def greeted(self) -> None:
        """See `SessionLog`."""
        if self.started is not None and "upstream_first_byte_time" in self.entrance.server.settings.access_log.asked:
            rare = self._rare()
            rare.first_byte = rare.first_byte or self.entrance.sessions.loop.now - self.started

    def gave_up(self, error: PeerError) -> None:
        """See `SessionLog`."""
        self._end_try()
        self.started = self.entrance.sessions.loop.now
        super().gave_up(error)

    def limit_connections(self, status: bytes) -> None:
        """Note the result of `limit_conn`."""
        self._rare().limit_conn = status

    def limit(self, status: bytes, zone: bytes) -> None:
        """Note the result of `limit_auth` for the attempt, and its zone."""
        self._rare().limited = status, zone

    def refuse(self, rejected: Rejected) -> None:
        """Note that the attempt was refused."""
        self._end_try()
        rare = self._rare()
        rare.refused_for_now = rejected.temporary
        if not rejected.temporary:
            rare.refusals += 1
        logs = self.entrance.server.access_logs.at_failure
        if logs:
            self.report("failure", logs)

    def log_in(self) -> None:
        """Note that the client is logged in, and drop what the relay does not need."""
        entrance, started = self.entrance, self.started
        assert started is not None
        self.login_ms = int((entrance.sessions.loop.now - started) * 1000 + 0.5)
        logs = entrance.server.access_logs.at_login
        if logs:
            self.report("login", logs)
        self.started = None
        if self.who is not None:
            self._keep_who()

    def _keep_who(self) -> None:
        who = self.who
        assert who is not None
        plain = who.proxy_header is None and who.host is UNAVAILABLE and self.port is not None
        self.who = None if plain else _Who(who.peer, who.host, who.proxy_header)

    def end(self, reason: End) -> None:
        """See `SessionRecord`."""
        if self.reason is None:
            SessionRecord.end(self, reason)
            logs = self.entrance.server.access_logs.at_end
            if logs and (self.client_bytes.received or self._is_told(reason)):
                self.report("end", logs)

    def _is_told(self, reason: End) -> bool:
        """Whether the session is logged; one without a byte from its client may not be."""
        return not (reason in _SILENT and self._is_null)

    def report(self, event: str, logs: tuple[ReadyLog, ...]) -> None:
        """Write the lines of these logs about an event of the session. Raises nothing."""
        lines = self.entrance.sessions.lines
        if lines is None:
            return
        self.event = event
        try:
            write_lines(logs, self, lines)
        except Exception as error:
            self._misreport(error)

    def _write_line(self, log: ReadyLog, lines: LineSink) -> None:
        write_lines((log,), self, lines)

    def _misreport(self, error: Exception) -> None:
        if isinstance(error, PeerError):  # a variable's regular expression takes too long for the client's data
            self.info(str(error))
        else:
            self.bug(error)

    @property
    def _is_null(self) -> bool:
        """Whether a session without a byte from its client need not be logged."""
        stream = self.client_bytes
        if self.entrance.server.access_logs.null_sessions:
            return False
        return self.reason is not End.TLS_TIMEOUT or not (stream.tls and stream.tls.received)

    def _rare(self) -> Rare:
        rare = self.rare
        if rare is None:
            self.rare = rare = Rare()
        return rare

    def _end_try(self) -> None:
        """Finish the current try of a backend, if there is one."""
        if self.started is not None:
            rare = self._rare()
            rare.tries.append(self._last_try(rare))
            rare.connect = rare.first_byte = None
            self.started = self.backend_bytes = None


# The ends that make a session a null session if the client has sent nothing.
_SILENT: Final = (End.NO_BYTES, End.CLIENT_LEFT, End.CLIENT_TIMEOUT, End.TLS_TIMEOUT, End.SHUTDOWN)


if accelerator is not None:
    accelerator.note_facts(FactsRecord)


class ListedFacts(FactsRecord):
    """The FactsRecord of a session in the session table."""

    __slots__ = ("row", "task")
