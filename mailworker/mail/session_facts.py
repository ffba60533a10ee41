"""The values of a session's variables: the record that has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from mailworker.event.sockets import local_address
from mailworker.mail.client.client import Client
from mailworker.mail.client.host import UNAVAILABLE
from mailworker.mail.record import Entrance, SessionRecord, Traffic
from mailworker.model import Address, AuthMethod, InetAddress
from mailworker.tls.connection import TlsConnection
from mailworker.variables.prefix import Lengths
from mailworker.variables.table import address_text
from mailworker.wire.imap_id import by_name
from mailworker.wire.login import SmtpEnvelope
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


class Who(NamedTuple):
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


_NOTHING: Final = Rare()

FactsT = TypeVar("FactsT", bound="SessionFacts")


class SessionFacts(SessionRecord):
    """A record that gives variables their values, see `mailworker.variables.facts.Facts`.

    `auth_ms` is the time of the decision about the last attempt, `login_ms` that of the login at the backend. They are
    integers, as small ones take no memory. `started` is when that login began, None before and after it.
    """

    __slots__ = (
        "attempts", "auth_ms", "auth_user", "event", "login_ms", "method", "port", "rare", "started", "who",
    )  # fmt: skip

    def __init__(self, entrance: Entrance) -> None:
        super().__init__(entrance)
        self.who: Client | Who | None = None
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
            self.who = Who(peer, UNAVAILABLE, None)

    def begun(self: FactsT, number: int, peer: Address, accepted: float, client_bytes: Traffic) -> FactsT:
        """See `SessionRecord`."""
        record = super().begun(number, peer, accepted, client_bytes)
        record._come(peer)
        return record

    def last_try(self) -> BackendTry:
        """The last try of a backend, with its times up to now."""
        now, login, traffic = self.entrance.sessions.loop.now, self.login_ms, self.backend_bytes
        rare = self.rare or _NOTHING
        since = self.started if self.started is not None else self.logged_in
        seconds = None if login is None else login / 1000
        before = seconds if seconds is not None and self.started is None else 0.0
        return BackendTry(
            address_text(self.backend),
            rare.connect,
            rare.first_byte,
            seconds,
            before + (0.0 if since is None else now - since),
            0 if traffic is None else traffic.received,
            0 if traffic is None else traffic.sent,
        )

    @property
    def tries(self) -> list[BackendTry]:
        """See `mailworker.variables.facts.Facts`."""
        over = (self.rare or _NOTHING).tries
        if self.backend is None or (self.started is None and self.login_ms is None):
            return over
        return [*over, self.last_try()]

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
    def helo(self) -> bytes:
        return (self.rare or _NOTHING).helo

    @property
    def envelope(self) -> SmtpEnvelope | None:
        return (self.rare or _NOTHING).envelope

    @property
    def client_id(self) -> bytes:
        return (self.rare or _NOTHING).client_id

    @property
    def client_id_fields(self) -> Mapping[bytes, bytes]:
        return by_name(self.client_id)

    @property
    def refusals(self) -> int:
        return (self.rare or _NOTHING).refusals

    @property
    def refused_for_now(self) -> bool:
        return (self.rare or _NOTHING).refused_for_now

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
        return (self.rare or _NOTHING).handshake

    @property
    def auth_source(self) -> str | None:
        return self.entrance.source if self.attempts else None

    @property
    def prefix_lengths(self) -> Lengths:
        return self.entrance.server.settings.limit_auth.prefix

    @property
    def limited(self) -> tuple[bytes, bytes] | None:
        return (self.rare or _NOTHING).limited

    @property
    def limit_conn_status(self) -> bytes | None:
        limits = self.entrance.server.settings.limit_conn.limits
        return (self.rare or _NOTHING).limit_conn or (b"PASSED" if limits else None)

    def auth_header(self, name: str) -> bytes | None:
        """See `mailworker.variables.facts.Facts`."""
        headers = (self.rare or _NOTHING).headers
        return None if headers is None else headers.get(name)
