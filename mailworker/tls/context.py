"""A server's TLS context, made from its ssl_* directives in nginx's order, with nginx's error messages."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mailworker.config.ssl import SslSettings
from mailworker.model import VerifyClient
from mailworker.native.tls.certificate import Certificate
from mailworker.native.tls.connection import Alert
from mailworker.native.tls.context import Context
from mailworker.native.tls.key import Key, NotSupported
from mailworker.native.tls.ticket_keys import TicketKeySource
from mailworker.native.tls.tls_session_table import TlsSessionTable
from mailworker.tls.connection import TlsConnection
from mailworker.tls.folder import Folder, NamedPair, find_pairs
from mailworker.tls.loading import (
    authorities,
    failure,
    keyless,
    revoke,
    run_conf_commands,
    set_groups,
    trust,
    use_certificate,
)

_IDENTITY_SIZE = 20


class TlsContext:
    """The TLS context of a server, which the master makes and each worker uses.

    A shared session cache stores nothing before `share`, as its zone is made after the whole configuration is read.
    `leaves` are the certificates of files, not those of folders. `warnings` are log messages for [warn].
    """

    __slots__ = ("_folders", "_identity", "leaves", "native", "settings", "warnings")

    def __init__(
        self,
        settings: SslSettings,
        native: Context,
        identity: bytes,
        warnings: tuple[str, ...],
        folders: tuple[Folder, ...] = (),
    ) -> None:
        self._folders = folders
        self._identity = identity
        self.leaves: tuple[Certificate, ...] = ()
        self.settings = settings
        self.native = native
        self.warnings = warnings

    @classmethod
    def build(
        cls,
        settings: SslSettings,
        *alpn: bytes,
        conf_prefix: Path | None = None,
        folders: tuple[Folder, ...] = (),
    ) -> TlsContext:
        """Apply all of `settings`, in the order of nginx's mail ssl module.

        `alpn` are the protocol's names in ALPN; a client that offers only others is refused with the fatal alert 120.
        `folders` are the settings' certificate folders, read. `conf_prefix` is the folder of relative files in
        ssl_conf_command, None for the working folder. Raises ConfigError, which never contains a data: value.
        """
        with failure():
            native = Context(*alpn)
        identity = _Identity()
        native.allow_versions(settings.protocols)
        with failure(settings.ciphers):
            native.set_ciphers(settings.ciphers, prefer_own_order=settings.prefer_server_ciphers)
        identity.add("ciphers", os.fsencode(settings.ciphers))
        pairs = _use_certificates(native, settings, identity)
        warnings = keyless(settings.certificates, pairs) + _compress_certificates(native, settings)
        _verify_client(native, settings, identity)
        _set_key_exchange(native, settings)
        _set_sessions(native, settings)
        for command, value, content in run_conf_commands(native, settings.conf_commands, conf_prefix):
            identity.add(f"command {command} {value}", content)
        with failure():
            native.set_session_identity(identity.digest(), settings.session_timeout)
        context = cls(settings, native, identity.digest(), warnings, folders)
        context.leaves = tuple(leaf for leaf, _ in pairs)
        return context

    @property
    def chooses(self) -> bool:
        """Whether the client's SNI matters even if the address has no other server."""
        return self.settings.reject_handshake or bool(self._folders)

    def connection(self, descriptor: int) -> TlsConnection:
        """A client's connection before its handshake; see `Connection`."""
        return TlsConnection(self.native, descriptor)

    @property
    def address(self) -> int:
        """The address of the SSL_CTX, for C code."""
        return self.native.address

    def adopt(self, address: int) -> TlsConnection:
        """The connection whose SSL, at `address`, was made in C."""
        return TlsConnection.adopted(self.native, address)

    def identity_of(self, name: bytes | None) -> bytes:
        """The session id context for a client that asks for `name`, None for no name."""
        return hashlib.sha256(self._identity + (name or b"")).digest()[:_IDENTITY_SIZE]

    def admit(self, connection: TlsConnection, name: bytes | None, own_name: bytes, identity: bytes) -> None:
        """Use this context for a connection that chooses; `identity` is `identity_of(name)`.

        The connection sends the folders' certificates for the SNI `name`, else the certificates of files, else the
        folders' certificates for the server's `own_name`. All these names are in lower case. Its sessions can be
        resumed only with the same `name`. Raises OpenSslError.
        """
        connection.follow(self.native)
        connection.bind_sessions(identity)
        pairs = self._pairs(name, own_name)
        if pairs:
            connection.use_pairs(pairs)
        elif self.settings.reject_handshake or not self.settings.certificates:
            connection.refuse(Alert.UNRECOGNIZED_NAME)

    def knows(self, name: bytes | None) -> bool:
        """Whether a folder has a certificate for `name`."""
        return name is not None and bool(find_pairs(self._folders, name))

    def _pairs(self, name: bytes | None, own_name: bytes) -> tuple[NamedPair, ...]:
        pairs = () if name is None else find_pairs(self._folders, name)
        if pairs or self.settings.reject_handshake or self.settings.certificates:
            return pairs
        return find_pairs(self._folders, own_name)

    def share(self, sessions: TlsSessionTable, ticket_keys: TicketKeySource) -> None:
        """Share sessions with other processes: for contexts whose session cache is `shared:`.

        `ticket_keys` are for servers that have no key files.
        """
        self.native.use_tls_session_table(sessions)
        if self.settings.session_tickets and not self.settings.session_ticket_keys:
            self.native.follow_ticket_keys(ticket_keys)


class _Identity:
    """The session id context of a server: a hash of its certificates, ciphers and all rules of client verification.

    A session that was made under other rules must not be resumed, neither at another server nor after a reload. So all
    directives that affect verification belong here, including ciphers, for their @SECLEVEL. nginx leaves out the verify
    mode and depth, trusted certificates, revocation lists and ssl_conf_command.
    """

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"MAIL")

    def add(self, kind: str, content: bytes) -> None:
        """Add a setting to the hash."""
        self._hash.update(hashlib.sha256(os.fsencode(kind) + b"\0" + content).digest())

    def digest(self) -> bytes:
        """The hash, shortened to 20 bytes, as each stored session has a copy."""
        return self._hash.digest()[:_IDENTITY_SIZE]


def _use_certificates(native: Context, settings: SslSettings, identity: _Identity) -> list[tuple[Certificate, Key]]:
    pairs = []
    for certificate, key in zip(settings.certificates, settings.certificate_keys, strict=False):
        pairs.append(use_certificate(native, certificate, key, settings.passwords))
        identity.add("certificate", pairs[-1][0].der)
    return pairs


def _compress_certificates(native: Context, settings: SslSettings) -> tuple[str, ...]:
    try:
        with failure():
            native.compress_certificates(on=settings.certificate_compression)
    except NotSupported:
        return ('"ssl_certificate_compression" is not supported on this platform, ignored',)
    return ()


def _verify_client(native: Context, settings: SslSettings, identity: _Identity) -> None:
    identity.add("verify", settings.verify_client.value.encode())
    if settings.verify_client is VerifyClient.OFF:
        return
    native.verify_peer(settings.verify_depth)
    identity.add("depth", str(settings.verify_depth).encode())
    for authority in authorities(settings.client_certificate):
        with failure(settings.client_certificate or ""):
            native.trust(authority)
            native.name_authority(authority)
        identity.add("client", authority.trusted_der)
    for authority in trust(native, settings.trusted_certificate):
        identity.add("trusted", authority.trusted_der)
    for revoked in revoke(native, settings.crl):
        identity.add("crl", revoked.der)


def _set_key_exchange(native: Context, settings: SslSettings) -> None:
    if settings.dhparam:
        with failure(settings.dhparam):
            native.set_dh_parameters(settings.dhparam)
    set_groups(native, settings.ecdh_curve)


def _set_sessions(native: Context, settings: SslSettings) -> None:
    cache = settings.session_cache
    if cache.off:
        native.refuse_sessions()
    elif cache.builtin is None and cache.shared is None:
        native.pretend_sessions()
    else:
        native.cache_sessions(cache.builtin)
    if not settings.session_tickets:
        native.refuse_tickets()
    if settings.session_ticket_keys:
        native.use_ticket_keys(settings.session_ticket_keys)
