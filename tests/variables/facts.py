"""A session that never was: what variables ask of one, at values that tests choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from mailworker.model import Address, AuthMethod, InetAddress
from mailworker.variables.facts import Ending, Envelope, Tls

_PEER, _LOCAL = InetAddress("192.0.2.9", 4242), InetAddress("203.0.113.1", 993)


@dataclass
class Backend:
    """See `mailworker.variables.facts.Try`."""

    address: bytes = b"192.0.2.1:143"
    connect: float | None = 0.001
    first_byte: float | None = 0.002
    login: float | None = 0.25
    session: float = 61.5
    received: int = 2000
    sent: int = 100


@dataclass
class Session:
    """See `mailworker.variables.facts.Facts`."""

    number: int = 7
    protocol: str = "imap"
    server_name: bytes = b"mail.example.com"
    peer: Address = _PEER
    client: str = "198.51.100.7"
    port: int | None = 50123
    local: Address = _LOCAL
    local_port: int | None = 993
    proxy_texts: tuple[bytes, bytes, bytes, bytes] | None = None
    proxy_tlvs: bytes = b""
    host: bytes = b"[UNAVAILABLE]"
    tls: Tls | None = None
    starttls: bool = False
    auth_user: bytes | None = None
    remote_user: bytes | None = None
    method: AuthMethod | None = None
    attempts: int = 0
    refusals: int = 0
    refused_for_now: bool = False
    helo: bytes = b""
    envelope: Envelope | None = None
    client_id: bytes = b""
    client_id_fields: Mapping[bytes, bytes] = field(default_factory=dict)
    session_id: bytes = b"AZAn3gAAAAEAAAAH"
    event: str | None = None
    reason: Ending | None = None
    received: int = 0
    sent: int = 0
    seconds: float = 0.0
    auth_seconds: float | None = None
    auth_source: str | None = None
    limit_conn_status: bytes | None = None
    handshake_seconds: float | None = None
    prefix_lengths: tuple[int, int] = (32, 64)
    limited: tuple[bytes, bytes] | None = None
    tries: Sequence[Backend] = ()
    headers: Mapping[str, bytes] = field(default_factory=dict)
    accepted: float = 1000.0
    logged_in: float | None = None

    def __post_init__(self) -> None:
        if self.remote_user is not None:
            self.attempts = self.attempts or 1

    @property
    def entrance(self) -> Any:
        """What the session has in common with others, and the time."""
        loop = SimpleNamespace(now=self.accepted + self.seconds)
        sessions = SimpleNamespace(loop=loop, identify=lambda accepted, number: self.session_id)
        host = self.local.host if isinstance(self.local, InetAddress) else None
        return SimpleNamespace(
            host=host,
            local=self.local,
            source=self.auth_source,
            port=self.local_port,
            protocol=self.protocol,
            sessions=sessions,
        )

    @property
    def client_bytes(self) -> Any:
        """The connection with the client."""
        return SimpleNamespace(received=self.received, sent=self.sent, tls=self.tls)

    @property
    def login(self) -> bytes:
        """The user of an attempt."""
        return self.remote_user or b""

    @property
    def who(self) -> object | None:
        """Something, where there is a PROXY header or a name."""
        return None if self.proxy_texts is None and self.host == b"[UNAVAILABLE]" else self.peer

    @property
    def auth_ms(self) -> int | None:
        """How long the decision about the last attempt took."""
        return None if self.auth_seconds is None else round(self.auth_seconds * 1000)

    @property
    def backend_bytes(self) -> Any:
        """The connection with the last backend."""
        return self.tries[-1] if self.tries else None

    @property
    def login_ms(self) -> int | None:
        """How long the login at the last backend took."""
        login = self.tries[-1].login if self.tries else None
        return None if login is None else round(login * 1000)

    @property
    def backend(self) -> str | None:
        """The last backend, as the log calls it."""
        return self.tries[-1].address.decode() if self.tries else None

    @property
    def started(self) -> float | None:
        """When the login at the last backend began, where it is not over."""
        return self.accepted if self.tries and self.logged_in is None else None

    @property
    def rare(self) -> Any:
        """What few sessions have."""
        last = self.tries[-1] if self.tries else Backend(connect=None, first_byte=None)
        over = self.tries if len(self.tries) > 1 or self.logged_in is None else ()
        some = over or self.helo or self.envelope or last.connect or last.first_byte or self.refused_for_now
        if not some:
            return None
        times = {"connect": last.connect, "first_byte": last.first_byte}
        return SimpleNamespace(tries=over, refused_for_now=self.refused_for_now, **times)

    def auth_header(self, name: str) -> bytes | None:
        """See `mailworker.variables.facts.Facts`."""
        return self.headers.get(name)
