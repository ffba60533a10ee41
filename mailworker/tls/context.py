"""A server's TLS context, made from its ssl_* directives in nginx's order and with nginx's words for what fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mailworker.config.settings import SslSettings, VerifyClient
from mailworker.errors import ConfigError
from mailworker.native.certificate import Certificate, load_certificates, load_revocation_lists
from mailworker.native.conf import ConfCommands
from mailworker.native.context import Context
from mailworker.native.key import Key, NotSupported, engine_key, load_key, store_key
from mailworker.native.queue import OpenSslError
from mailworker.native.session_table import SessionTable
from mailworker.native.ticket_keys import TicketKeySource

_DATA = "data:"
_ENGINE = "engine:"
_STORE = "store:"
_IDENTITY_SIZE = 20


class TlsContext:
    """What the TLS connections of one server have in common; made once in the master, used by every worker.

    A shared session cache caches nothing before `share`: its zone is made when all of the configuration is read.
    `warnings` are texts to be logged at [warn].
    """

    __slots__ = ("native", "settings", "warnings")

    def __init__(self, settings: SslSettings, native: Context, warnings: tuple[str, ...]) -> None:
        self.settings = settings
        self.native = native
        self.warnings = warnings

    @classmethod
    def build(
        cls,
        settings: SslSettings,
        alpn: bytes,
        *,
        conf_prefix: Path | None = None,
    ) -> TlsContext:
        """Apply all of `settings`, in the order of nginx's mail ssl module.

        `alpn` is the protocol's name in ALPN; a client that offers others only is refused with the fatal alert 120.
        `conf_prefix` is the folder that relative files of ssl_conf_command start from, None: the working folder.
        Raises ConfigError, which never repeats the content of a data: value.
        """
        with _failure():
            native = Context(alpn)
        identity = _Identity()
        native.allow_versions(settings.protocols)
        with _failure_of(settings.ciphers):
            native.set_ciphers(settings.ciphers, prefer_own_order=settings.prefer_server_ciphers)
        _use_certificates(native, settings, identity)
        warnings = _compress_certificates(native, settings)
        _verify_client(native, settings, identity)
        _set_key_exchange(native, settings)
        _set_sessions(native, settings, identity)
        _run_conf_commands(native, settings, conf_prefix)
        return cls(settings, native, warnings)

    def share(self, sessions: SessionTable, ticket_keys: TicketKeySource) -> None:
        """Let other processes resume what this one began: for contexts whose session cache is `shared:`.

        `ticket_keys` are for servers that have no key files.
        """
        self.native.use_session_table(sessions)
        if self.settings.session_tickets and not self.settings.session_ticket_keys:
            self.native.follow_ticket_keys(ticket_keys)


class _Identity:
    """What sessions of a server are bound to: its certificates, and all that decides about client certificates.

    nginx counts neither the verify mode nor trusted certificates and revocation lists; here a session that was
    made under other rules never resumes, be it another server's or from before a reload.
    """

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"MAIL")

    def add(self, kind: str, content: bytes) -> None:
        """Bind to one more fact."""
        self._hash.update(hashlib.sha256(kind.encode() + b"\0" + content).digest())

    def digest(self) -> bytes:
        """20 bytes: every stored session repeats them, and they only need to differ."""
        return self._hash.digest()[:_IDENTITY_SIZE]


def _shown(source: str) -> str:
    return _DATA if source.startswith(_DATA) else source


def _because(error: OpenSslError) -> str:
    return f" (SSL: {' '.join(error.reasons)})" if error.reasons else ""


@contextmanager
def _failure() -> Iterator[None]:
    try:
        yield
    except OpenSslError as error:
        raise ConfigError(f"{error.call}() failed{_because(error)}") from None


@contextmanager
def _failure_of(*values: str) -> Iterator[None]:
    try:
        yield
    except OpenSslError as error:
        shown = ", ".join(f'"{_shown(value)}"' for value in values)
        raise ConfigError(f"{error.call}({shown}) failed{_because(error)}") from None


@contextmanager
def _failure_to_load(what: str, source: str) -> Iterator[None]:
    try:
        yield
    except OpenSslError as error:
        raise ConfigError(f'cannot load {what} "{_shown(source)}": {error.call}() failed{_because(error)}') from None


def _use_certificates(native: Context, settings: SslSettings, identity: _Identity) -> None:
    for certificate, key in zip(settings.certificates, settings.certificate_keys, strict=False):
        with _failure_to_load("certificate", certificate):
            leaf, *chain = load_certificates(certificate)
        with _failure_of(certificate):
            native.use_certificate(leaf, chain)
        loaded = _load_key(key, settings.passwords)
        with _failure_of(key):
            native.use_key(loaded)
        identity.add("certificate", leaf.der)


def _load_key(source: str, passwords: Sequence[bytes] | None) -> Key:
    if source.startswith(_ENGINE):
        return _load_engine_key(source)
    with _failure_to_load("certificate key", source):
        if source.startswith(_STORE):
            return store_key(source[len(_STORE) :], passwords)
        return load_key(source, passwords)


def _load_engine_key(source: str) -> Key:
    engine, separator, key = source[len(_ENGINE) :].partition(":")
    if not separator:
        raise ConfigError(f'cannot load certificate key "{source}": invalid syntax')
    try:
        with _failure_to_load("certificate key", _ENGINE + engine):
            return engine_key(engine, key)
    except NotSupported:
        raise ConfigError('loading "engine:..." certificate keys is not supported') from None


def _compress_certificates(native: Context, settings: SslSettings) -> tuple[str, ...]:
    try:
        with _failure():
            native.compress_certificates(on=settings.certificate_compression)
    except NotSupported:
        return ('"ssl_certificate_compression" is not supported on this platform, ignored',)
    return ()


def _verify_client(native: Context, settings: SslSettings, identity: _Identity) -> None:
    identity.add("verify", settings.verify_client.value.encode())
    if settings.verify_client is VerifyClient.OFF:
        return
    native.ask_for_certificate(settings.verify_depth)
    for authority in _authorities(settings.client_certificate):
        with _failure_of(settings.client_certificate or ""):
            native.trust(authority)
            native.name_authority(authority)
        identity.add("client", authority.der)
    for authority in _authorities(settings.trusted_certificate):
        with _failure_of(settings.trusted_certificate or ""):
            native.trust(authority)
        identity.add("trusted", authority.der)
    if settings.crl:
        with _failure_to_load("CRL", settings.crl):
            revocation_lists = load_revocation_lists(settings.crl)
        for revoked in revocation_lists:
            with _failure_of(settings.crl):
                native.revoke(revoked)
            identity.add("crl", revoked.der)


def _authorities(source: str | None) -> tuple[Certificate, ...]:
    if not source:
        return ()
    with _failure_to_load("certificate", source):
        return load_certificates(source)


def _set_key_exchange(native: Context, settings: SslSettings) -> None:
    if settings.dhparam:
        with _failure_of(settings.dhparam):
            native.set_dh_parameters(settings.dhparam)
    if settings.ecdh_curve != "auto":
        with _failure_of(settings.ecdh_curve):
            native.set_curves(settings.ecdh_curve)


def _set_sessions(native: Context, settings: SslSettings, identity: _Identity) -> None:
    cache = settings.session_cache
    with _failure():
        native.set_session_identity(identity.digest(), settings.session_timeout)
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


def _run_conf_commands(native: Context, settings: SslSettings, conf_prefix: Path | None) -> None:
    if not settings.conf_commands:
        return
    with _failure(), ConfCommands(native) as commands:
        for command, value in settings.conf_commands:
            final = str(conf_prefix / value) if conf_prefix and commands.takes_path(command) else value
            with _failure_of(command, final):
                commands.run(command, final)
