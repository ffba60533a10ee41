"""TLS to backends, as a server's proxy_ssl* directives configure it."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Final

from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.errors import Party
from mailworker.model import Address, InetAddress
from mailworker.native.tls.certificate import is_address
from mailworker.native.tls.connection import Session
from mailworker.native.tls.context import Context
from mailworker.tls.connection import TlsConnection
from mailworker.tls.loading import (
    failure,
    keyless,
    revoke,
    run_conf_commands,
    set_groups,
    trust,
    use_certificate,
)

# The most sessions, one for each backend; with more backends, some handshakes are full.
_MOST_SESSIONS: Final = 1024


class BackendTls:
    """The TLS context for the backends of a server.

    The master makes it, and each worker uses it, with sessions of its own. `warnings` are log messages for [warn].
    """

    __slots__ = ("native", "sessions", "settings", "warnings")

    def __init__(self, settings: ProxySslSettings, native: Context, warnings: tuple[str, ...] = ()) -> None:
        self.settings = settings
        self.native = native
        self.warnings = warnings
        self.sessions: OrderedDict[tuple[Address, str | None], Session] = OrderedDict()  # by address and name

    @classmethod
    def build(cls, settings: ProxySslSettings, *, conf_prefix: Path | None = None) -> BackendTls:
        """Apply all of `settings`; see `TlsContext.build`. Raises ConfigError."""
        with failure():
            native = Context(client=True)
        native.allow_versions(settings.protocols)
        with failure(settings.ciphers):
            native.set_ciphers(settings.ciphers, prefer_own_order=False)
        set_groups(native, settings.ecdh_curve)
        warnings: tuple[str, ...] = ()
        if settings.certificate is not None:
            pair = use_certificate(native, settings.certificate, settings.certificate_key or "", settings.passwords)
            warnings = keyless([settings.certificate], [pair])
        if settings.verify:
            native.verify_peer(settings.verify_depth)
            trust(native, settings.trusted_certificate)
            revoke(native, settings.crl)
        run_conf_commands(native, settings.conf_commands, conf_prefix)
        return cls(settings, native, warnings)

    def peer(self, address: Address, name: str | None = None) -> TlsPeer:
        """The backend at `address`; `name` is its name in the auth service's answer, None without one."""
        return TlsPeer(self, address, self.settings.name or name)


class TlsPeer:
    """A backend that is connected to over TLS."""

    __slots__ = ("_address", "_name", "_tls")

    def __init__(self, tls: BackendTls, address: Address, name: str | None) -> None:
        self._tls = tls
        self._address = address
        self._name = name

    @property
    def starttls(self) -> bool:
        """Whether TLS begins after STARTTLS, or the protocol's command for it."""
        return self._tls.settings.starttls

    def connection(self, descriptor: int) -> TlsConnection:
        """A connection in which we are the TLS client; see `Connection`."""
        tls = self._tls
        connection = TlsConnection(tls.native, descriptor, Party.BACKEND)
        name = self._name
        if tls.settings.server_name and name is not None and not is_address(name):
            connection.ask_for(os.fsencode(name))  # SNI must not hold an address (RFC 6066 section 3)
        session = tls.sessions.get((self._address, name))
        if session is not None:
            connection.resume(session)
        return connection

    def refusal(self, connection: TlsConnection) -> str | None:
        """After the handshake: nginx's error if the certificate is not accepted, else None."""
        if not self._tls.settings.verify:
            return None
        code, text = connection.verify_result
        if code:
            return f"upstream SSL certificate verify error: ({code}:{text})"
        name = self._name or (self._address.host if isinstance(self._address, InetAddress) else str(self._address))
        certificate = connection.peer_certificate
        if certificate is None or not certificate.is_for(name):
            return f'upstream SSL certificate does not match "{name}"'
        return None

    def remember(self, connection: TlsConnection) -> None:
        """Keep the session of this connection for later ones to resume."""
        sessions = self._tls.sessions
        session = connection.session if self._tls.settings.session_reuse else None
        if session is not None:
            sessions[self._address, self._name] = session
            sessions.move_to_end((self._address, self._name))
            if len(sessions) > _MOST_SESSIONS:
                sessions.popitem(last=False)
