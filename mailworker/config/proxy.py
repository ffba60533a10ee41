"""The connection to the backend (ngx_mail_proxy_module).

`proxy_socket_keepalive` and `proxy_upload_rate` are from nginx's stream proxy, `limit_rate` is from freenginx.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Final

from mailworker.config import proxy_ssl
from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.drafts import BOTH, Scope
from mailworker.config.proxy_pass import PROXY_PASS, ProxyPass
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.rows import commands, frozen, merged, row
from mailworker.config.slots import FLAG, MILLISECONDS, bitmask, member, size
from mailworker.config.tree import Parser
from mailworker.config.values import ANY, BUFFER, PAGE
from mailworker.model import Address, ProxyProtocol, Tlv, XclientGuard

_NGINX_FIELDS: Final = (b"ADDR", b"LOGIN", b"NAME")
_MORE_FIELDS: Final = tuple(b"HELO PROTO PORT DESTADDR DESTPORT DESTNAME SESSION TTL CLIENT-TRANSPORT".split())

# The default TLVs. The others tell more about a client than its connection, so they must be configured.
_TLVS_OF_TLS: Final = tuple(each for each in Tlv if each is not Tlv.UNIQUE_ID)
TLVS_OF_TLS: Final = reduce(or_, _TLVS_OF_TLS)


def _freeze_fields(_: Parser, fields: tuple[bytes, ...]) -> frozenset[bytes] | None:
    return None if set(fields) == set(_NGINX_FIELDS) else frozenset(fields)


def _freeze_tlvs(parser: Parser, tlvs: tuple[Tlv, ...]) -> Tlv:
    """Combine the TLVs; `off` must stand alone."""
    if Tlv(0) in tlvs and len(tlvs) > 1:
        raise parser.error('"proxy_protocol_tlv" has "off" beside other values')
    return reduce(or_, tlvs)


_FIELDS: Final = replace(
    bitmask({field.decode().lower(): field for field in (*_NGINX_FIELDS, *_MORE_FIELDS)}), freeze=_freeze_fields
)
_TLVS: Final = replace(bitmask({"off": Tlv(0), **{str(each.name).lower(): each for each in Tlv}}), freeze=_freeze_tlvs)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The directives of the proxy module; `ssl` is None if `proxy_ssl` is off.

    `backend` is that of `proxy_pass`, for logins whose source names none. `xclient_fields` are the attributes that
    XCLIENT may send, None for nginx's. `limit_rate` is in bytes a second to the client, after the first
    `limit_rate_after` bytes, and `upload_rate` is in bytes a second from the client; 0 is no limit.
    """

    buffer: int
    timeout: float
    pass_error_message: bool
    xclient: bool
    smtp_auth: bool
    proxy_protocol: ProxyProtocol
    xclient_guard: XclientGuard = XclientGuard.ANONYMOUS
    xclient_fields: frozenset[bytes] | None = None
    imap_id: bool = False
    pop3_xclient: bool = False
    sieve_xclient: bool = False
    pass_helo: bool = False
    pass_error_codes: bool = False
    tlvs: Tlv = TLVS_OF_TLS
    ssl: ProxySslSettings | None = None
    socket_keepalive: bool = False
    backend: ProxyPass | None = None
    limit_rate: int = 0
    limit_rate_after: int = 0
    upload_rate: int = 0

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of `proxy_pass`; none without it, or if it has variables."""
        return () if self.backend is None else self.backend.addresses


@dataclass(slots=True)
class ProxyDraft:
    """As in nginx, `proxy` has no effect: a mail proxy always proxies."""

    proxy: bool = row(BOTH, ONE, FLAG, False, into=None)
    proxy_pass: ProxyPass | None = row(BOTH, ONE, PROXY_PASS, None, into="backend")
    proxy_buffer: int = row(BOTH, ONE, size(BUFFER), PAGE)
    proxy_timeout: float = row(BOTH, ONE, MILLISECONDS, 86400.0)
    proxy_pass_error_message: bool = row(BOTH, ONE, FLAG, False)
    proxy_pass_error_codes: bool = row(BOTH, ONE, FLAG, False)
    proxy_pass_helo: bool = row(BOTH, ONE, FLAG, False)
    proxy_imap_id: bool = row(BOTH, ONE, FLAG, False)
    proxy_pop3_xclient: bool = row(BOTH, ONE, FLAG, False)
    proxy_sieve_xclient: bool = row(BOTH, ONE, FLAG, False)
    xclient: bool = row(BOTH, ONE, FLAG, True)
    xclient_fields: tuple[bytes, ...] = row(BOTH, ONE_OR_MORE, _FIELDS, _NGINX_FIELDS)
    proxy_smtp_auth: bool = row(BOTH, ONE, FLAG, False)
    proxy_protocol: ProxyProtocol = row(BOTH, ONE, member(ProxyProtocol), ProxyProtocol.OFF, into="proxy_protocol")
    proxy_protocol_tlv: tuple[Tlv, ...] = row(BOTH, ONE_OR_MORE, _TLVS, _TLVS_OF_TLS, into="tlvs")
    proxy_socket_keepalive: bool = row(BOTH, ONE, FLAG, False)
    proxy_smtp_xclient_guard: XclientGuard = row(
        BOTH, ONE, member(XclientGuard), XclientGuard.ANONYMOUS, into="xclient_guard"
    )
    limit_rate: int = row(BOTH, ONE, size(ANY), 0)
    limit_rate_after: int = row(BOTH, ONE, size(ANY), 0)
    proxy_upload_rate: int = row(BOTH, ONE, size(ANY), 0)


COMMANDS: Final = commands(ProxyDraft)


def freeze(parser: Parser, server: Scope, mail: Scope) -> ProxySettings:
    """The server's settings; raises ConfigError."""
    tls = proxy_ssl.freeze(parser, server, mail)
    return frozen(ProxySettings, merged(ProxyDraft, server, mail), parser, "proxy_", ssl=tls)
