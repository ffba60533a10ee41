"""`auth_http` and its companions (ngx_mail_auth_http_module), and two directives that nginx does not have:
`auth_http_keepalive` and `auth_http_authzid`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from mailworker.config import slots
from mailworker.config.addresses import BadAddress, Url, parse_url
from mailworker.config.command import ONE, TWO, Command
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.tree import Parser
from mailworker.config.values import ANY
from mailworker.model import Address, UnixAddress


@dataclass(frozen=True, slots=True)
class AuthHttpSettings:
    """`auth_http` and its companions.

    `host` is what goes into the Host header, `uri` the request's target, `name` the peer as nginx logs it.
    `keepalive` is how many idle connections a worker keeps open, 0 for HTTP/1.0 and a connection for each request.
    `authzid` says that the service is told whom clients of PLAIN want to act for.
    """

    address: Address
    host: bytes
    uri: bytes
    timeout: float
    headers: tuple[tuple[bytes, bytes], ...]
    pass_client_cert: bool
    keepalive: int = 0
    authzid: bool = False

    @property
    def name(self) -> str:
        return str(self.address)


HTTP_PORT: Final = 80


@dataclass(slots=True)
class AuthHttpDraft:
    """`auth_http` None where no block has one."""

    auth_http: Url | None = UNSET
    auth_http_timeout: float = UNSET
    auth_http_header: tuple[tuple[str, str], ...] = UNSET
    auth_http_pass_client_cert: bool = UNSET
    auth_http_keepalive: int = UNSET
    auth_http_authzid: bool = UNSET


DEFAULTS: Final = AuthHttpDraft(
    auth_http=None,
    auth_http_timeout=60.0,
    auth_http_header=(),
    auth_http_pass_client_cert=False,
    auth_http_keepalive=0,
    auth_http_authzid=False,
)


def freeze(server: Scope, mail: Scope) -> AuthHttpSettings | None:
    """The server's settings, None without an `auth_http`."""
    draft = merged(DEFAULTS, server, mail)
    if draft.auth_http is None:
        return None
    address = draft.auth_http.addresses[0]
    return AuthHttpSettings(
        address=address,
        host=b"localhost" if isinstance(address, UnixAddress) else os.fsencode(draft.auth_http.host),
        uri=os.fsencode(draft.auth_http.uri or "/"),
        timeout=draft.auth_http_timeout,
        headers=tuple((os.fsencode(name), os.fsencode(value)) for name, value in draft.auth_http_header),
        pass_client_cert=draft.auth_http_pass_client_cert,
        keepalive=draft.auth_http_keepalive,
        authzid=draft.auth_http_authzid,
    )


def _set_auth_http(parser: Parser) -> None:
    """May be repeated, the last one wins."""
    text = parser.words[1].removeprefix("http://")
    try:
        url = parse_url(text, parser.resolve, default_port=HTTP_PORT, uri_part=True)
    except BadAddress as reason:
        raise parser.error(f'{reason} in auth_http "{text}"') from reason
    parser.scope.draft(AuthHttpDraft).auth_http = url


_BOTH: Final = Context.MAIL | Context.SERVER

COMMANDS: Final = (
    Command("auth_http", _BOTH, ONE, _set_auth_http),
    Command("auth_http_timeout", _BOTH, ONE, slots.milliseconds(AuthHttpDraft)),
    Command("auth_http_header", _BOTH, TWO, slots.pairs(AuthHttpDraft)),
    Command("auth_http_pass_client_cert", _BOTH, ONE, slots.flag(AuthHttpDraft)),
    Command("auth_http_keepalive", _BOTH, ONE, slots.number(AuthHttpDraft, ANY)),
    Command("auth_http_authzid", _BOTH, ONE, slots.flag(AuthHttpDraft)),
)
