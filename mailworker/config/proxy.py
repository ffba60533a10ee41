"""The connection to the backend (ngx_mail_proxy_module; `proxy_socket_keepalive` is that of nginx's stream proxy)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import proxy_ssl, slots
from mailworker.config.command import ONE, Command
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.tree import Parser
from mailworker.config.values import BUFFER, PAGE
from mailworker.config.xclient_guard import XclientGuard
from mailworker.model import ProxyProtocol


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The directives of the proxy module; `ssl` is None where backends are not asked for TLS."""

    buffer: int
    timeout: float
    pass_error_message: bool
    xclient: bool
    smtp_auth: bool
    proxy_protocol: ProxyProtocol
    xclient_guard: XclientGuard = XclientGuard.ANONYMOUS
    ssl: ProxySslSettings | None = None
    socket_keepalive: bool = False


@dataclass(slots=True)
class ProxyDraft:
    """As in nginx `proxy` has no effect: a mail proxy always proxies."""

    proxy: bool = UNSET
    proxy_buffer: int = UNSET
    proxy_timeout: float = UNSET
    proxy_pass_error_message: bool = UNSET
    xclient: bool = UNSET
    proxy_smtp_auth: bool = UNSET
    proxy_protocol: ProxyProtocol = UNSET
    proxy_socket_keepalive: bool = UNSET
    proxy_smtp_xclient_guard: XclientGuard = UNSET


DEFAULTS: Final = ProxyDraft(
    proxy=False,
    proxy_buffer=PAGE,
    proxy_timeout=86400.0,
    proxy_pass_error_message=False,
    xclient=True,
    proxy_smtp_auth=False,
    proxy_protocol=ProxyProtocol.OFF,
    proxy_socket_keepalive=False,
    proxy_smtp_xclient_guard=XclientGuard.ANONYMOUS,
)


def freeze(parser: Parser, server: Scope, mail: Scope) -> ProxySettings:
    """The server's settings; raises ConfigError."""
    draft = merged(DEFAULTS, server, mail)
    return ProxySettings(
        buffer=draft.proxy_buffer,
        timeout=draft.proxy_timeout,
        pass_error_message=draft.proxy_pass_error_message,
        xclient=draft.xclient,
        smtp_auth=draft.proxy_smtp_auth,
        proxy_protocol=draft.proxy_protocol,
        socket_keepalive=draft.proxy_socket_keepalive,
        xclient_guard=draft.proxy_smtp_xclient_guard,
        ssl=proxy_ssl.freeze(parser, server, mail),
    )


_BOTH: Final = Context.MAIL | Context.SERVER
_PROXY_PROTOCOLS: Final = {version.value: version for version in ProxyProtocol}
_GUARDS: Final = {guard.value: guard for guard in XclientGuard}

COMMANDS: Final = (
    Command("proxy", _BOTH, ONE, slots.flag(ProxyDraft)),
    Command("proxy_buffer", _BOTH, ONE, slots.size(ProxyDraft, BUFFER)),
    Command("proxy_timeout", _BOTH, ONE, slots.milliseconds(ProxyDraft)),
    Command("proxy_pass_error_message", _BOTH, ONE, slots.flag(ProxyDraft)),
    Command("xclient", _BOTH, ONE, slots.flag(ProxyDraft)),
    Command("proxy_smtp_auth", _BOTH, ONE, slots.flag(ProxyDraft)),
    Command("proxy_protocol", _BOTH, ONE, slots.choice(ProxyDraft, _PROXY_PROTOCOLS)),
    Command("proxy_socket_keepalive", _BOTH, ONE, slots.flag(ProxyDraft)),
    Command("proxy_smtp_xclient_guard", _BOTH, ONE, slots.choice(ProxyDraft, _GUARDS)),
)
