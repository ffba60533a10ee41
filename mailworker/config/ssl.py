"""The directives of the ssl module (ngx_mail_ssl_module); TLS itself is made elsewhere from what is read here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import slots
from mailworker.config.command import ONE, ONE_OR_MORE, ONE_OR_TWO, TWO, Command
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.session_cache import (
    NONE,
    SHARED_ONLY,
    SessionCache,
    SessionCacheKind,
    freeze_session_cache,
    read_session_cache,
)
from mailworker.config.ssl_files import (
    full_name,
    full_value,
    key_name,
    optional_name,
    read_passwords,
    read_ticket_key,
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

    File names are absolute; certificates may be "data:PEM", keys also "engine:NAME:ID" and "store:URI".
    `passwords` is the content of ssl_password_file, None where there is none.
    `session_cache` without any part set is `none`: sessions get an id, but nothing is stored.
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


@dataclass(slots=True)
class SslDraft:
    """`asked_at` is the position of the directive that asked for TLS, `listen` whether it was a listen."""

    ssl: bool = UNSET
    listen: bool = UNSET
    asked_at: str | None = UNSET
    starttls: Starttls = UNSET
    ssl_certificate: tuple[str, ...] = UNSET
    ssl_certificate_key: tuple[str, ...] = UNSET
    ssl_certificate_compression: bool = UNSET
    ssl_password_file: tuple[bytes, ...] | None = UNSET
    ssl_dhparam: str = UNSET
    ssl_ecdh_curve: str = UNSET
    ssl_protocols: tuple[str, ...] = UNSET
    ssl_ciphers: str = UNSET
    ssl_prefer_server_ciphers: bool = UNSET
    session_cache_kind: SessionCacheKind = UNSET
    session_cache_zone: SharedZone | None = UNSET
    ssl_session_tickets: bool = UNSET
    ssl_session_ticket_key: tuple[str, ...] = UNSET
    ssl_session_timeout: int = UNSET
    ssl_verify_client: VerifyClient = UNSET
    ssl_verify_depth: int = UNSET
    ssl_client_certificate: str = UNSET
    ssl_trusted_certificate: str = UNSET
    ssl_crl: str = UNSET
    ssl_conf_command: tuple[tuple[str, str], ...] = UNSET


DEFAULTS: Final = SslDraft(
    ssl=False,
    listen=False,
    asked_at=None,
    starttls=Starttls.OFF,
    ssl_certificate=(),
    ssl_certificate_key=(),
    ssl_certificate_compression=False,
    ssl_password_file=None,
    ssl_dhparam="",
    ssl_ecdh_curve="auto",
    ssl_protocols=("TLSv1.2", "TLSv1.3"),
    ssl_ciphers="HIGH:!aNULL:!MD5",
    ssl_prefer_server_ciphers=False,
    session_cache_kind=NONE,
    session_cache_zone=None,
    ssl_session_tickets=True,
    ssl_session_ticket_key=(),
    ssl_session_timeout=300,
    ssl_verify_client=VerifyClient.OFF,
    ssl_verify_depth=1,
    ssl_client_certificate="",
    ssl_trusted_certificate="",
    ssl_crl="",
    ssl_conf_command=(),
)


def merge(server: Scope, mail: Scope) -> SslDraft:
    """The server's draft with nothing UNSET."""
    return merged(DEFAULTS, server, mail)


def freeze(parser: Parser, draft: SslDraft) -> SslSettings | None:
    """The server's settings, None where nothing asks for TLS; raises ConfigError."""
    mode = _mode(draft)
    if mode is None:
        return None
    _check(draft, mode)
    return SslSettings(
        certificates=tuple(full_name(parser, name, "data:") for name in draft.ssl_certificate),
        certificate_keys=tuple(key_name(parser, name) for name in draft.ssl_certificate_key),
        protocols=draft.ssl_protocols,
        ciphers=draft.ssl_ciphers,
        prefer_server_ciphers=draft.ssl_prefer_server_ciphers,
        ecdh_curve=draft.ssl_ecdh_curve,
        dhparam=optional_name(parser, draft.ssl_dhparam),
        passwords=draft.ssl_password_file,
        certificate_compression=draft.ssl_certificate_compression,
        verify_client=draft.ssl_verify_client,
        verify_depth=draft.ssl_verify_depth,
        client_certificate=optional_name(parser, draft.ssl_client_certificate),
        trusted_certificate=optional_name(parser, draft.ssl_trusted_certificate),
        crl=optional_name(parser, draft.ssl_crl),
        conf_commands=tuple((name, full_value(parser, name, value)) for name, value in draft.ssl_conf_command),
        session_cache=freeze_session_cache(draft.session_cache_kind, draft.session_cache_zone),
        session_timeout=draft.ssl_session_timeout,
        session_tickets=draft.ssl_session_tickets,
        session_ticket_keys=tuple(read_ticket_key(parser, name) for name in draft.ssl_session_ticket_key),
    )


def _mode(draft: SslDraft) -> str | None:
    """What asked for TLS, as messages name it."""
    if draft.listen:
        return "listen ... ssl"
    if draft.ssl:
        return "ssl"
    return "starttls" if draft.starttls is not Starttls.OFF else None


def _check(draft: SslDraft, mode: str) -> None:
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
    needs_authority = draft.ssl_verify_client in (VerifyClient.ON, VerifyClient.OPTIONAL)
    if needs_authority and not draft.ssl_client_certificate and not draft.ssl_trusted_certificate:
        raise ConfigError("no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client")


def _set_ssl(parser: Parser) -> None:
    """Obsolete: nginx took this directive up to version 1.25.0."""
    _set_ssl_flag(parser)
    parser.warn('the "ssl" directive is deprecated, use the "listen ... ssl" directive instead')
    draft = parser.scope.draft(SslDraft)
    if draft.ssl and draft.starttls not in (UNSET, Starttls.OFF):
        raise parser.error('"starttls" directive conflicts with "ssl on"')
    _note_position(parser, draft)


def _set_starttls(parser: Parser) -> None:
    _set_starttls_choice(parser)
    draft = parser.scope.draft(SslDraft)
    if draft.ssl is True and draft.starttls is not Starttls.OFF:
        raise parser.error('"ssl" directive conflicts with "starttls"')
    _note_position(parser, draft)


def _note_position(parser: Parser, draft: SslDraft) -> None:
    if draft.listen is UNSET:
        draft.asked_at = parser.where


def _set_password_file(parser: Parser) -> None:
    slots.claim(parser, SslDraft)
    parser.scope.draft(SslDraft).ssl_password_file = read_passwords(parser)


def _set_session_cache(parser: Parser) -> None:
    draft = parser.scope.draft(SslDraft)
    kind, zone = read_session_cache(parser)
    draft.session_cache_zone = draft.session_cache_zone if zone is None else zone
    if kind is not None:
        draft.session_cache_kind = kind
    elif draft.session_cache_kind is UNSET:
        draft.session_cache_kind = SHARED_ONLY


_set_ssl_flag: Final = slots.flag(SslDraft)
_set_starttls_choice: Final = slots.choice(SslDraft, {state.value: state for state in Starttls})
_VERIFY: Final = {state.value: state for state in VerifyClient}
PROTOCOLS: Final = {name: name for name in ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")}
_BOTH: Final = Context.MAIL | Context.SERVER

COMMANDS: Final = (
    Command("ssl", _BOTH, ONE, _set_ssl),
    Command("starttls", _BOTH, ONE, _set_starttls),
    Command("ssl_certificate", _BOTH, ONE, slots.words(SslDraft)),
    Command("ssl_certificate_key", _BOTH, ONE, slots.words(SslDraft)),
    Command("ssl_certificate_compression", _BOTH, ONE, slots.flag(SslDraft)),
    Command("ssl_password_file", _BOTH, ONE, _set_password_file),
    Command("ssl_dhparam", _BOTH, ONE, slots.string(SslDraft)),
    Command("ssl_ecdh_curve", _BOTH, ONE, slots.string(SslDraft)),
    Command("ssl_protocols", _BOTH, ONE_OR_MORE, slots.bitmask(SslDraft, PROTOCOLS)),
    Command("ssl_ciphers", _BOTH, ONE, slots.string(SslDraft)),
    Command("ssl_prefer_server_ciphers", _BOTH, ONE, slots.flag(SslDraft)),
    Command("ssl_session_cache", _BOTH, ONE_OR_TWO, _set_session_cache),
    Command("ssl_session_tickets", _BOTH, ONE, slots.flag(SslDraft)),
    Command("ssl_session_ticket_key", _BOTH, ONE, slots.words(SslDraft)),
    Command("ssl_session_timeout", _BOTH, ONE, slots.seconds(SslDraft)),
    Command("ssl_verify_client", _BOTH, ONE, slots.choice(SslDraft, _VERIFY)),
    Command("ssl_verify_depth", _BOTH, ONE, slots.number(SslDraft, C_INT)),
    Command("ssl_client_certificate", _BOTH, ONE, slots.string(SslDraft)),
    Command("ssl_trusted_certificate", _BOTH, ONE, slots.string(SslDraft)),
    Command("ssl_crl", _BOTH, ONE, slots.string(SslDraft)),
    Command("ssl_conf_command", _BOTH, TWO, slots.pairs(SslDraft)),
)
