"""The proxy_ssl* directives: TLS to backends, as in nginx's http and stream modules.

Unlike there, `proxy_ssl` may be `starttls`, `proxy_ssl_ecdh_curve` works like `ssl_ecdh_curve`, and without
`proxy_ssl_name` the certificate must be for the name or address of the backend in the auth service's answer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from mailworker.config.command import ONE, ONE_OR_MORE, TWO
from mailworker.config.drafts import BOTH, Scope
from mailworker.config.rows import commands, frozen, merged, row
from mailworker.config.slots import FLAG, STRING, member, number
from mailworker.config.ssl import PROTOCOLS
from mailworker.config.ssl_files import CERTIFICATE, CONF_COMMANDS, FILE, PASSWORDS, key_name, shown
from mailworker.config.tree import Parser
from mailworker.config.values import C_INT
from mailworker.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ProxySslSettings:
    """The proxy_ssl* directives, for backends over TLS.

    With `starttls`, TLS begins after the protocol's own command. `certificate` and `certificate_key` are as in
    SslSettings, None for none. A backend's certificate must be for `name`; None is the name or address in the auth
    service's answer. `server_name`: the name is sent (SNI).
    """

    starttls: bool
    certificate: str | None
    certificate_key: str | None
    passwords: tuple[bytes, ...] | None
    protocols: tuple[str, ...]
    ciphers: str
    ecdh_curve: str
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
    """`proxy_ssl`."""

    OFF = "off"
    ON = "on"
    STARTTLS = "starttls"


@dataclass(slots=True)
class ProxySslDraft:
    """See `ProxySslSettings`."""

    proxy_ssl: ProxySsl | None = row(BOTH, ONE, member(ProxySsl), None, into=None, spelled="off")
    proxy_ssl_certificate: str = row(BOTH, ONE, CERTIFICATE, "")
    proxy_ssl_certificate_key: str = row(BOTH, ONE, STRING, "")
    proxy_ssl_password_file: tuple[bytes, ...] | None = row(BOTH, ONE, PASSWORDS, None, into="passwords")
    proxy_ssl_protocols: tuple[str, ...] = row(BOTH, ONE_OR_MORE, PROTOCOLS, ("TLSv1.2", "TLSv1.3"))
    proxy_ssl_ciphers: str = row(BOTH, ONE, STRING, "DEFAULT")
    proxy_ssl_ecdh_curve: str = row(BOTH, ONE, STRING, "auto")
    proxy_ssl_name: str = row(BOTH, ONE, replace(STRING, freeze=lambda _, name: name or None), "")
    proxy_ssl_server_name: bool = row(BOTH, ONE, FLAG, False)
    proxy_ssl_verify: bool = row(BOTH, ONE, FLAG, False)
    proxy_ssl_verify_depth: int = row(BOTH, ONE, number(C_INT), 1)
    proxy_ssl_trusted_certificate: str = row(BOTH, ONE, FILE, "")
    proxy_ssl_crl: str = row(BOTH, ONE, FILE, "")
    proxy_ssl_session_reuse: bool = row(BOTH, ONE, FLAG, True)
    proxy_ssl_conf_command: tuple[tuple[str, str], ...] = row(BOTH, TWO, CONF_COMMANDS, (), into="conf_commands")


COMMANDS: Final = commands(ProxySslDraft)


def freeze(parser: Parser, server: Scope, mail: Scope) -> ProxySslSettings | None:
    """The server's settings, None if `proxy_ssl` is off; raises ConfigError."""
    draft = merged(ProxySslDraft, server, mail)
    if draft.proxy_ssl is None and draft.proxy_ssl_verify:
        parser.warn_once('"proxy_ssl_verify" has no effect without "proxy_ssl"', server.opened_at)
    if draft.proxy_ssl in (None, ProxySsl.OFF):
        return None
    certificate, key = draft.proxy_ssl_certificate, draft.proxy_ssl_certificate_key
    if certificate and not key:
        raise ConfigError(f'no "proxy_ssl_certificate_key" is defined for certificate "{shown(certificate)}"')
    if draft.proxy_ssl_verify and not draft.proxy_ssl_trusted_certificate:
        raise ConfigError("no proxy_ssl_trusted_certificate for proxy_ssl_verify")
    if draft.proxy_ssl_server_name and len(os.fsencode(draft.proxy_ssl_name)) > _LONGEST_SERVER_NAME:
        raise ConfigError("too long proxy_ssl_name for proxy_ssl_server_name")
    return frozen(
        ProxySslSettings,
        draft,
        parser,
        "proxy_ssl_",
        starttls=draft.proxy_ssl is ProxySsl.STARTTLS,
        certificate_key=key_name(parser, key) if certificate else None,
    )
