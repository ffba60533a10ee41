"""A session that never was: what variables ask of one, at values that tests choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailworker.model import Address, AuthMethod, InetAddress
from mailworker.variables.facts import Envelope, Tls

_PEER, _CLIENT, _LOCAL = (
    InetAddress("192.0.2.9", 4242),
    InetAddress("198.51.100.7", 50123),
    InetAddress("203.0.113.1", 993),
)


@dataclass
class Session:
    """See `mailworker.variables.facts.Facts`."""

    number: int = 7
    protocol: str = "imap"
    server_name: bytes = b"mail.example.com"
    peer: Address = _PEER
    address: Address = _CLIENT
    local: Address = _LOCAL
    proxy_texts: tuple[bytes, bytes, bytes, bytes] | None = None
    host: bytes = b"[UNAVAILABLE]"
    tls: Tls | None = None
    starttls: bool = False
    auth_user: bytes | None = None
    remote_user: bytes | None = None
    method: AuthMethod | None = None
    attempts: int = 0
    helo: bytes | None = None
    envelope: Envelope | None = None
    client_id: bytes = b""
    client_id_fields: Mapping[bytes, bytes] = field(default_factory=dict)
    session_id: bytes = b"AZAn3gAAAAEAAAAH"
