"""`auth_http` and its companions (ngx_mail_auth_http_module), and two directives that nginx does not have:
`auth_http_keepalive` and `auth_http_authzid`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from mailworker.config.addresses import BadAddress, Url, parse_url
from mailworker.config.command import ONE, TWO
from mailworker.config.drafts import BOTH, Scope
from mailworker.config.rows import Value, commands, frozen, merged, row
from mailworker.config.slots import FLAG, MILLISECONDS, number, repeated
from mailworker.config.tree import Parser
from mailworker.config.values import ANY
from mailworker.model import Address
from mailworker.variables.template import Template, parse_leniently
from mailworker.variables.variables import Variables

Headers = tuple[tuple[bytes, bytes | Template], ...]
"""Names and values; a value with variables is a Template."""


@dataclass(frozen=True, slots=True)
class AuthHttpSettings:
    """`auth_http` and its companions.

    `host` is the value of the Host header, `uri` the request's target, `name` the peer as nginx logs it.
    `keepalive` is the number of idle connections that a worker keeps open; 0 means HTTP/1.0 and one connection for each
    request. With `authzid` the service gets the authorization identity of PLAIN.
    """

    address: Address
    host: bytes
    uri: bytes
    timeout: float
    headers: Headers
    pass_client_cert: bool
    keepalive: int = 0
    authzid: bool = False

    @property
    def name(self) -> str:
        return str(self.address)

    @property
    def has_variables(self) -> bool:
        return any(isinstance(value, Template) for _, value in self.headers)


_HTTP_PORT: Final = 80


def http_url(parser: Parser) -> Url:
    """The URL of the service that a directive names; raises ConfigError."""
    text = parser.words[1].removeprefix("http://")
    try:
        return parse_url(text, parser.resolve, default_port=_HTTP_PORT, uri_part=True)
    except BadAddress as reason:
        raise parser.error(f'{reason} in {parser.words[0]} "{text}"') from reason


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    value: str
    where: str | None


def _headers(parser: Parser, headers: tuple[_Header, ...], variables: Variables) -> Headers:
    """The headers. nginx has no variables here, so an unknown name is sent literally, with a warning."""

    def known(name: str) -> bool:
        if not variables.knows(name):
            parser.warn_once(f'unknown "{name}" variable is sent as it stands, in "auth_http_header"', header.where)
        return variables.knows(name)

    found: list[tuple[bytes, bytes | Template]] = []
    for header in headers:
        template = parse_leniently(os.fsencode(header.value), known, header.where)
        constant = template.constant
        found.append((os.fsencode(header.name), template if constant is None else constant))
    return tuple(found)


_URL: Final[Value[Url]] = Value(lambda parser, _: http_url(parser))  # may be repeated, the last one wins
_HEADERS: Final = Value(repeated(lambda parser: (_Header(parser.words[1], parser.words[2], parser.where),)))


@dataclass(slots=True)
class AuthHttpDraft:
    """`auth_http` is None if no block has one."""

    auth_http: Url | None = row(BOTH, ONE, _URL, None, into=None)
    auth_http_timeout: float = row(BOTH, ONE, MILLISECONDS, 60.0)
    auth_http_header: tuple[_Header, ...] = row(BOTH, TWO, _HEADERS, (), into=None)
    auth_http_pass_client_cert: bool = row(BOTH, ONE, FLAG, False)
    auth_http_keepalive: int = row(BOTH, ONE, number(ANY), 0)
    auth_http_authzid: bool = row(BOTH, ONE, FLAG, False)


COMMANDS: Final = commands(AuthHttpDraft)


def freeze(parser: Parser, server: Scope, mail: Scope, variables: Variables) -> AuthHttpSettings | None:
    """The server's settings, None without an `auth_http`; `variables` are those of the server."""
    draft = merged(AuthHttpDraft, server, mail)
    if draft.auth_http is None:
        return None
    return frozen(
        AuthHttpSettings,
        draft,
        parser,
        "auth_http_",
        address=draft.auth_http.addresses[0],
        host=draft.auth_http.http_host,
        uri=draft.auth_http.target,
        headers=_headers(parser, draft.auth_http_header, variables),
    )
