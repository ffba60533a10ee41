"""What the proxy_ssl* directives come to; see `mailworker.config.settings`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxySslSettings:
    """The proxy_ssl* directives, for backends over TLS.

    With `starttls` the backend is asked for TLS in its protocol's words. `certificate` and `certificate_key` are as in
    SslSettings, None where no backend gets one. `name` is whom a backend's certificate has to be issued to, None for
    what the auth service calls it, a name or an address; `server_name` tells whether it is asked for by its name (SNI).
    """

    starttls: bool
    certificate: str | None
    certificate_key: str | None
    passwords: tuple[bytes, ...] | None
    protocols: tuple[str, ...]
    ciphers: str
    name: str | None
    server_name: bool
    verify: bool
    verify_depth: int
    trusted_certificate: str | None
    crl: str | None
    session_reuse: bool
    conf_commands: tuple[tuple[str, str], ...]
