"""The connection to the backend (ngx_mail_proxy_module; `proxy_socket_keepalive` is that of nginx's stream proxy)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import proxy_ssl
from mailworker.config.command import ONE
from mailworker.config.drafts import BOTH, Scope
from mailworker.config.proxy_pass import PROXY_PASS, ProxyPass
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.rows import commands, frozen, merged, row
from mailworker.config.slots import FLAG, MILLISECONDS, member, size
from mailworker.config.tree import Parser
from mailworker.config.values import BUFFER, PAGE
from mailworker.model import ProxyProtocol, XclientGuard


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The directives of the proxy module; `ssl` is None where backends are not asked for TLS.

    `backend` is that of logins whose source names none, None where there is no such one.
    """

    buffer: int
    timeout: float
    pass_error_message: bool
    xclient: bool
    smtp_auth: bool
    proxy_protocol: ProxyProtocol
    xclient_guard: XclientGuard = XclientGuard.ANONYMOUS
    ssl: ProxySslSettings | None = None
    socket_keepalive: bool = False
    backend: ProxyPass | None = None


@dataclass(slots=True)
class ProxyDraft:
    """As in nginx `proxy` has no effect: a mail proxy always proxies."""

    proxy: bool = row(BOTH, ONE, FLAG, False, into=None)
    proxy_pass: ProxyPass | None = row(BOTH, ONE, PROXY_PASS, None, into="backend")
    proxy_buffer: int = row(BOTH, ONE, size(BUFFER), PAGE)
    proxy_timeout: float = row(BOTH, ONE, MILLISECONDS, 86400.0)
    proxy_pass_error_message: bool = row(BOTH, ONE, FLAG, False)
    xclient: bool = row(BOTH, ONE, FLAG, True)
    proxy_smtp_auth: bool = row(BOTH, ONE, FLAG, False)
    proxy_protocol: ProxyProtocol = row(BOTH, ONE, member(ProxyProtocol), ProxyProtocol.OFF, into="proxy_protocol")
    proxy_socket_keepalive: bool = row(BOTH, ONE, FLAG, False)
    proxy_smtp_xclient_guard: XclientGuard = row(
        BOTH, ONE, member(XclientGuard), XclientGuard.ANONYMOUS, into="xclient_guard"
    )


COMMANDS: Final = commands(ProxyDraft)


def freeze(parser: Parser, server: Scope, mail: Scope) -> ProxySettings:
    """The server's settings; raises ConfigError."""
    tls = proxy_ssl.freeze(parser, server, mail)
    return frozen(ProxySettings, merged(ProxyDraft, server, mail), parser, "proxy_", ssl=tls)
