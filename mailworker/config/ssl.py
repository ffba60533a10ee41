"""The directives of the ssl module (ngx_mail_ssl_module). `mailworker.tls` makes contexts from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mailworker.config.command import ONE, ONE_OR_MORE, ONE_OR_TWO, TWO
from mailworker.config.drafts import BOTH, UNSET
from mailworker.config.rows import Value, commands, frozen, inherited, row
from mailworker.config.session_cache import (
    NONE,
    SHARED_ONLY,
    SessionCache,
    SessionCacheKind,
    freeze_session_cache,
    read_session_cache,
)
from mailworker.config.slots import FLAG, SECONDS, STRING, bitmask, member, number
from mailworker.config.ssl_files import (
    CERTIFICATES,
    CONF_COMMANDS,
    FILE,
    FOLDERS,
    KEYS,
    PASSWORDS,
    TICKET_KEYS,
    shown,
)
from mailworker.config.tree import Parser
from mailworker.config.values import C_INT
from mailworker.config.zones import SharedZone
from mailworker.errors import ConfigError
from mailworker.model import Starttls, VerifyClient


@dataclass(frozen=True, slots=True)
class SslSettings:
    """The directives of the ssl module.

    Paths are absolute; each folder is listed once. Certificates may be "data:PEM", keys also "engine:NAME:ID" and
    "store:URI". `passwords` are those of ssl_password_file, None without one. `session_cache` with the default values
    is `none`: sessions get an id, but are not stored.
    """

    certificates: tuple[str, ...]
    certificate_keys: tuple[str, ...]
    protocols: tuple[str, ...]
    ciphers: str
    prefer_server_ciphers: bool
    ecdh_curve: str
    dhparam: str | None
    passwords: tuple[bytes, ...] | None
    certificate_compression: bool
    verify_client: VerifyClient
    verify_depth: int
    client_certificate: str | None
    trusted_certificate: str | None
    crl: str | None
    conf_commands: tuple[tuple[str, str], ...]
    session_cache: SessionCache
    session_timeout: int
    session_tickets: bool
    session_ticket_keys: tuple[bytes, ...]
    reject_handshake: bool = False
    certificate_directories: tuple[str, ...] = ()


PROTOCOLS: Final = bitmask({name: name for name in ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")})
_STARTTLS: Final = member(Starttls)


def _take_ssl(parser: Parser, earlier: bool) -> bool:
    """Take the obsolete directive, which nginx had up to version 1.25.0."""
    on = FLAG.take(parser, earlier)
    parser.warn('the "ssl" directive is deprecated, use the "listen ... ssl" directive instead')
    draft = parser.scope.draft(SslDraft)
    if on and draft.starttls not in (UNSET, Starttls.OFF):
        raise parser.error('"starttls" directive conflicts with "ssl on"')
    _note_position(parser, draft)
    return on


def _take_starttls(parser: Parser, earlier: Starttls) -> Starttls:
    state = _STARTTLS.take(parser, earlier)
    draft = parser.scope.draft(SslDraft)
    if draft.ssl is True and state is not Starttls.OFF:
        raise parser.error('"ssl" directive conflicts with "starttls"')
    _note_position(parser, draft)
    return state


def _note_position(parser: Parser, draft: SslDraft) -> None:
    if draft.listen is UNSET:
        draft.asked_at = parser.where


def _take_session_cache(parser: Parser, earlier: SessionCacheKind) -> SessionCacheKind:
    kind, zone = read_session_cache(parser)
    if zone is not None:
        parser.scope.draft(SslDraft).session_cache_zone = zone
    if kind is not None:
        return kind
    return SHARED_ONLY if earlier is UNSET else earlier


@dataclass(slots=True)
class SslDraft:
    """`asked_at` is the position of the directive that enables TLS; `listen`: it is a `listen`.

    The values are frozen in this order; as in nginx, the files of ticket keys are read last.
    """

    listen: bool = inherited(False)
    asked_at: str | None = inherited(None)
    session_cache_zone: SharedZone | None = inherited(None)
    ssl: bool = row(BOTH, ONE, replace(FLAG, take=_take_ssl), False, into=None)
    starttls: Starttls = row(BOTH, ONE, replace(_STARTTLS, take=_take_starttls), Starttls.OFF, into=None)
    ssl_certificate: tuple[str, ...] = row(BOTH, ONE, CERTIFICATES, (), into="certificates")
    ssl_certificate_key: tuple[str, ...] = row(BOTH, ONE, KEYS, (), into="certificate_keys")
    ssl_certificate_directory: tuple[str, ...] = row(BOTH, ONE, FOLDERS, (), into="certificate_directories")
    ssl_certificate_compression: bool = row(BOTH, ONE, FLAG, False)
    ssl_password_file: tuple[bytes, ...] | None = row(BOTH, ONE, PASSWORDS, None, into="passwords")
    ssl_dhparam: str = row(BOTH, ONE, FILE, "")
    ssl_ecdh_curve: str = row(BOTH, ONE, STRING, "auto")
    ssl_protocols: tuple[str, ...] = row(BOTH, ONE_OR_MORE, PROTOCOLS, ("TLSv1.2", "TLSv1.3"))
    ssl_ciphers: str = row(BOTH, ONE, STRING, "HIGH:!aNULL:!MD5")
    ssl_prefer_server_ciphers: bool = row(BOTH, ONE, FLAG, False)
    ssl_reject_handshake: bool = row(BOTH, ONE, FLAG, False)
    ssl_session_cache: SessionCacheKind = row(BOTH, ONE_OR_TWO, Value(_take_session_cache), NONE)
    ssl_session_tickets: bool = row(BOTH, ONE, FLAG, True)
    ssl_session_timeout: int = row(BOTH, ONE, SECONDS, 300)
    ssl_verify_client: VerifyClient = row(BOTH, ONE, member(VerifyClient), VerifyClient.OFF)
    ssl_verify_depth: int = row(BOTH, ONE, number(C_INT), 1)
    ssl_client_certificate: str = row(BOTH, ONE, FILE, "")
    ssl_trusted_certificate: str = row(BOTH, ONE, FILE, "")
    ssl_crl: str = row(BOTH, ONE, FILE, "")
    ssl_conf_command: tuple[tuple[str, str], ...] = row(BOTH, TWO, CONF_COMMANDS, (), into="conf_commands")
    ssl_session_ticket_key: tuple[str, ...] = row(BOTH, ONE, TICKET_KEYS, (), into="session_ticket_keys")


COMMANDS: Final = commands(SslDraft)


def freeze(parser: Parser, draft: SslDraft) -> SslSettings | None:
    """The settings of a merged draft, None without TLS; raises ConfigError."""
    mode = _mode(draft)
    if mode is None:
        return None
    if draft.ssl_certificate or not (draft.ssl_reject_handshake or draft.ssl_certificate_directory):
        _check_certificates(draft, mode)
    _check_authority(draft)
    cache = freeze_session_cache(draft.ssl_session_cache, draft.session_cache_zone)
    return frozen(SslSettings, draft, parser, "ssl_", session_cache=cache)


def _mode(draft: SslDraft) -> str | None:
    """The directive that enables TLS, as in messages."""
    if draft.listen:
        return "listen ... ssl"
    if draft.ssl:
        return "ssl"
    return "starttls" if draft.starttls is not Starttls.OFF else None


def _check_certificates(draft: SslDraft, mode: str) -> None:
    if not draft.ssl_certificate:
        raise ConfigError(f'no "ssl_certificate" is defined for the "{mode}" directive', draft.asked_at)
    if not draft.ssl_certificate_key:
        raise ConfigError(f'no "ssl_certificate_key" is defined for the "{mode}" directive', draft.asked_at)
    if len(draft.ssl_certificate_key) < len(draft.ssl_certificate):
        raise ConfigError(
            f'no "ssl_certificate_key" is defined for certificate "{shown(draft.ssl_certificate[-1])}" '
            f'and the "{mode}" directive',
            draft.asked_at,
        )


def _check_authority(draft: SslDraft) -> None:
    needs_authority = draft.ssl_verify_client in (VerifyClient.ON, VerifyClient.OPTIONAL)
    if needs_authority and not draft.ssl_client_certificate and not draft.ssl_trusted_certificate:
        raise ConfigError("no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client")
