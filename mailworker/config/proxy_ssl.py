"""The proxy_ssl* directives: backends over TLS. nginx has them for HTTP and streams, and none for mail.

They mean what they mean there, but for `proxy_ssl starttls`, and for the name that a certificate must have: without
`proxy_ssl_name` it is what the auth service calls the backend, by name or address.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mailworker.config import slots
from mailworker.config.command import ONE, ONE_OR_MORE, TWO, Command
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.ssl import PROTOCOLS
from mailworker.config.ssl_files import full_name, full_value, key_name, optional_name, read_passwords, shown
from mailworker.config.tree import Parser
from mailworker.config.values import C_INT
from mailworker.errors import ConfigError


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


_LONGEST_SERVER_NAME: Final = 255  # bytes, TLSEXT_MAXLEN_host_name of OpenSSL


class ProxySsl(Enum):
    """`proxy_ssl`; STARTTLS begins in clear."""

    OFF = "off"
    ON = "on"
    STARTTLS = "starttls"


@dataclass(slots=True)
class ProxySslDraft:
    """See `ProxySslSettings`."""

    proxy_ssl: ProxySsl = UNSET
    proxy_ssl_certificate: str = UNSET
    proxy_ssl_certificate_key: str = UNSET
    proxy_ssl_password_file: tuple[bytes, ...] | None = UNSET
    proxy_ssl_protocols: tuple[str, ...] = UNSET
    proxy_ssl_ciphers: str = UNSET
    proxy_ssl_name: str = UNSET
    proxy_ssl_server_name: bool = UNSET
    proxy_ssl_verify: bool = UNSET
    proxy_ssl_verify_depth: int = UNSET
    proxy_ssl_trusted_certificate: str = UNSET
    proxy_ssl_crl: str = UNSET
    proxy_ssl_session_reuse: bool = UNSET
    proxy_ssl_conf_command: tuple[tuple[str, str], ...] = UNSET


DEFAULTS: Final = ProxySslDraft(
    proxy_ssl=ProxySsl.OFF,
    proxy_ssl_certificate="",
    proxy_ssl_certificate_key="",
    proxy_ssl_password_file=None,
    proxy_ssl_protocols=("TLSv1.2", "TLSv1.3"),
    proxy_ssl_ciphers="DEFAULT",
    proxy_ssl_name="",
    proxy_ssl_server_name=False,
    proxy_ssl_verify=False,
    proxy_ssl_verify_depth=1,
    proxy_ssl_trusted_certificate="",
    proxy_ssl_crl="",
    proxy_ssl_session_reuse=True,
    proxy_ssl_conf_command=(),
)


def freeze(parser: Parser, server: Scope, mail: Scope) -> ProxySslSettings | None:
    """The server's settings, None where `proxy_ssl` is off; raises ConfigError."""
    draft = merged(DEFAULTS, server, mail)
    if draft.proxy_ssl is ProxySsl.OFF:
        return None
    certificate, key = draft.proxy_ssl_certificate, draft.proxy_ssl_certificate_key
    if certificate and not key:
        raise ConfigError(f'no "proxy_ssl_certificate_key" is defined for certificate "{shown(certificate)}"')
    if draft.proxy_ssl_verify and not draft.proxy_ssl_trusted_certificate:
        raise ConfigError("no proxy_ssl_trusted_certificate for proxy_ssl_verify")
    if draft.proxy_ssl_server_name and len(os.fsencode(draft.proxy_ssl_name)) > _LONGEST_SERVER_NAME:
        raise ConfigError("too long proxy_ssl_name for proxy_ssl_server_name")
    return ProxySslSettings(
        starttls=draft.proxy_ssl is ProxySsl.STARTTLS,
        certificate=full_name(parser, certificate, "data:") if certificate else None,
        certificate_key=key_name(parser, key) if certificate else None,
        passwords=draft.proxy_ssl_password_file,
        protocols=draft.proxy_ssl_protocols,
        ciphers=draft.proxy_ssl_ciphers,
        name=draft.proxy_ssl_name or None,
        server_name=draft.proxy_ssl_server_name,
        verify=draft.proxy_ssl_verify,
        verify_depth=draft.proxy_ssl_verify_depth,
        trusted_certificate=optional_name(parser, draft.proxy_ssl_trusted_certificate),
        crl=optional_name(parser, draft.proxy_ssl_crl),
        session_reuse=draft.proxy_ssl_session_reuse,
        conf_commands=tuple((name, full_value(parser, name, value)) for name, value in draft.proxy_ssl_conf_command),
    )


def _set_password_file(parser: Parser) -> None:
    slots.claim(parser, ProxySslDraft)
    parser.scope.draft(ProxySslDraft).proxy_ssl_password_file = read_passwords(parser)


_BOTH: Final = Context.MAIL | Context.SERVER

COMMANDS: Final = (
    Command("proxy_ssl", _BOTH, ONE, slots.choice(ProxySslDraft, {state.value: state for state in ProxySsl})),
    Command("proxy_ssl_certificate", _BOTH, ONE, slots.string(ProxySslDraft)),
    Command("proxy_ssl_certificate_key", _BOTH, ONE, slots.string(ProxySslDraft)),
    Command("proxy_ssl_password_file", _BOTH, ONE, _set_password_file),
    Command("proxy_ssl_protocols", _BOTH, ONE_OR_MORE, slots.bitmask(ProxySslDraft, PROTOCOLS)),
    Command("proxy_ssl_ciphers", _BOTH, ONE, slots.string(ProxySslDraft)),
    Command("proxy_ssl_name", _BOTH, ONE, slots.string(ProxySslDraft)),
    Command("proxy_ssl_server_name", _BOTH, ONE, slots.flag(ProxySslDraft)),
    Command("proxy_ssl_verify", _BOTH, ONE, slots.flag(ProxySslDraft)),
    Command("proxy_ssl_verify_depth", _BOTH, ONE, slots.number(ProxySslDraft, C_INT)),
    Command("proxy_ssl_trusted_certificate", _BOTH, ONE, slots.string(ProxySslDraft)),
    Command("proxy_ssl_crl", _BOTH, ONE, slots.string(ProxySslDraft)),
    Command("proxy_ssl_session_reuse", _BOTH, ONE, slots.flag(ProxySslDraft)),
    Command("proxy_ssl_conf_command", _BOTH, TWO, slots.pairs(ProxySslDraft)),
)
