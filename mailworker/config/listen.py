"""`listen ADDRESS [PARAMETERS]` (ngx_mail_core_listen; `reuseport` as in Angie, sharing as in nginx's http)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from mailworker.config import values
from mailworker.config.addresses import BadAddress, Url, parse_url
from mailworker.config.command import ONE_OR_MORE
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.mail import MailCoreDraft
from mailworker.config.protocol import ProtocolsDraft
from mailworker.config.rows import Value, commands, row
from mailworker.config.slots import present
from mailworker.config.ssl import SslDraft
from mailworker.config.tree import Parser
from mailworker.model import Address, InetAddress


@dataclass(frozen=True, slots=True)
class Keepalive:
    """`so_keepalive`: None is the kernel's default; idle and interval are in seconds."""

    on: bool
    idle: int | None = None
    interval: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """The mode and the owner of a unix socket; an id that is None is that of the process that makes it."""

    mode: int = 0o600
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """One address of a `listen` directive. An option that is None is not set.

    Servers on the same address have the same options, but only one may have `default_server`. Without `access`, all
    users may connect to a unix socket.
    """

    address: Address
    default_server: bool = False
    ssl: bool = False
    proxy_protocol: bool = False
    bind: bool = False
    backlog: int | None = None
    rcvbuf: int | None = None
    sndbuf: int | None = None
    ipv6only: bool = True
    so_keepalive: Keepalive | None = None
    multipath: bool = False
    reuseport: bool = False
    access: Access | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address; `server` is the index of its server in `Settings.servers`.

    If several servers share the address, `server` is the default one, and `servers` are all of them, in order, else ().
    """

    listen: Listen
    server: int
    servers: tuple[int, ...] = ()


_WILDCARDS: Final = ("0.0.0.0", "::")


@dataclass(slots=True)
class SharedAddress:
    """An address and its servers, in order; `listen` has the options of all of them."""

    listen: Listen
    servers: list[Scope]
    default: Scope

    def of(self, server: Scope) -> Listen:
        """The `listen` of one of the servers."""
        shared = self.listen
        return replace(shared, default_server=False) if shared.default_server and server is not self.default else shared

    def join(self, parser: Parser, listen: Listen) -> None:
        """Add a server's `listen` (ngx_http_add_addresses); raises ConfigError."""
        mine, address = self.listen, self.listen.address
        if parser.scope is self.servers[-1]:
            raise parser.error(f'duplicate "{address}" address and port pair')
        if listen.bind and mine.bind:
            raise parser.error(f"duplicate listen options for {address}")
        if listen.default_server:
            if mine.default_server:
                raise parser.error(f"a duplicate default server for {address}")
            self.default = parser.scope
        self.servers.append(parser.scope)
        self.listen = replace(
            listen if listen.bind else mine,
            address=address,
            default_server=mine.default_server or listen.default_server,
            ssl=mine.ssl or listen.ssl,
            proxy_protocol=mine.proxy_protocol or listen.proxy_protocol,
        )


@dataclass(slots=True)
class AddressesDraft:
    """In the `mail` block, every address that one of its servers listens on."""

    shared: dict[Address, SharedAddress] = field(default_factory=dict)

    def listens(self, server: Scope) -> tuple[Listen, ...]:
        """The listens of a server, with the options that other servers have given."""
        found = (self.shared[listen.address] for listen in server.draft(ListenDraft).listen)
        return tuple(each.of(server) for each in found)


def plan_sockets(servers: Iterable[Iterable[Listen]]) -> list[tuple[Endpoint, ...]]:
    """The sockets for the listens of `servers`, each as its endpoints; it is bound to the address of the first.

    As in nginx, the socket of a wildcard serves all addresses of its port and family that are not bound themselves.
    """
    addresses: dict[Address, list[tuple[int, Listen]]] = {}
    for number, listens in enumerate(servers):
        for listen in listens:
            addresses.setdefault(listen.address, []).append((number, listen))
    ports: dict[object, list[Endpoint]] = {}
    for address, members in addresses.items():
        ports.setdefault(_port_of(address), []).append(_endpoint(members))
    return [socket for endpoints in ports.values() for socket in _plan_port(endpoints)]


def _endpoint(members: Sequence[tuple[int, Listen]]) -> Endpoint:
    server, listen = next((member for member in members if member[1].default_server), members[0])
    return Endpoint(listen, server, tuple(number for number, _ in members) if len(members) > 1 else ())


def _port_of(address: Address) -> object:
    return (address.is_ipv6, address.port) if isinstance(address, InetAddress) else address


def _plan_port(endpoints: list[Endpoint]) -> list[tuple[Endpoint, ...]]:
    wildcard = next((endpoint for endpoint in endpoints if _is_wildcard(endpoint.listen.address)), None)
    if wildcard is None:
        return [(endpoint,) for endpoint in endpoints]
    others = [endpoint for endpoint in endpoints if endpoint is not wildcard]
    own = [(endpoint,) for endpoint in others if endpoint.listen.bind]
    return [*own, (wildcard, *(endpoint for endpoint in others if not endpoint.listen.bind))]


def _is_wildcard(address: Address) -> bool:
    return isinstance(address, InetAddress) and address.host in _WILDCARDS


def listen_url(parser: Parser) -> Url:
    """The addresses that the first word of a `listen` names; raises ConfigError."""
    text = parser.words[1]
    try:
        return parse_url(text, parser.resolve, listen=True)
    except BadAddress as reason:
        raise parser.error(f'{reason} in "{text}" of the "listen" directive') from reason


def _take_listen(parser: Parser, earlier: tuple[Listen, ...]) -> tuple[Listen, ...]:
    url = listen_url(parser)
    core = parser.scope.draft(MailCoreDraft)
    if core.protocol is UNSET:
        core.protocol = parser.main.draft(ProtocolsDraft).of_port(url.port) or UNSET
    listen = Listen(url.addresses[0])
    for word in parser.words[2:]:
        listen = _with_parameter(parser, listen, word)
    listens = [listen, *(replace(listen, address=address) for address in url.addresses[1:])]
    _take(parser, listens)
    return (*present(earlier), *listens)


def _take(parser: Parser, listens: Iterable[Listen]) -> None:
    shared = parser.scope.outer(AddressesDraft).shared
    for listen in listens:
        if listen.address in shared:
            shared[listen.address].join(parser, listen)
        else:
            shared[listen.address] = SharedAddress(listen, [parser.scope], parser.scope)


def _with_parameter(parser: Parser, listen: Listen, word: str) -> Listen:
    if word == "ssl":
        draft = parser.scope.draft(SslDraft)
        draft.listen, draft.asked_at = True, parser.where
        return replace(listen, ssl=True)
    if word in _SWITCHES:
        return replace(listen, **_SWITCHES[word])
    name, equals, value = word.partition("=")
    read = _PARAMETERS.get(name) if equals else None
    if read is None:
        raise parser.error(f'invalid parameter "{word}"')
    changes: dict[str, Any] = {name: read(_Parameter(parser, listen, word, value)), "bind": True}
    return replace(listen, **changes)


_SWITCHES: Final[Mapping[str, Mapping[str, Any]]] = {
    **{name: {name: True} for name in ("bind", "default_server", "proxy_protocol")},
    **{name: {name: True, "bind": True} for name in ("multipath", "reuseport")},
}


class _Parameter(NamedTuple):
    """`NAME=VALUE` of a `listen`, which is `word`; `listen` has the parameters before it."""

    parser: Parser
    listen: Listen
    word: str
    value: str


def _bounded(value: int | None) -> int | None:
    """The value if it fits into a C int, else None."""
    return value if value is not None and values.C_INT.allow(value) else None


def _backlog(parameter: _Parameter) -> int:
    backlog = _bounded(values.number(parameter.value))
    if not backlog:
        raise parameter.parser.error(f'invalid backlog "{parameter.word}"')
    return backlog


def _buffer(parameter: _Parameter) -> int:
    size = _bounded(values.size(parameter.value))
    if size is None:
        raise parameter.parser.error(f'invalid {parameter.word.partition("=")[0]} "{parameter.word}"')
    return size


def _ipv6only(parameter: _Parameter) -> bool:
    """`on` or `off`; as in nginx, another value that does not begin with "o" is an invalid parameter."""
    value = parameter.value
    if not value.startswith("o"):
        raise parameter.parser.error(f'invalid parameter "{parameter.word}"')
    if value not in ("on", "off"):
        raise parameter.parser.error(f'invalid ipv6only flags "{value}"')
    return value == "on"


def _so_keepalive(parameter: _Parameter) -> Keepalive:
    keepalive = _keepalive(parameter.value, parameter.listen.so_keepalive or Keepalive(True))
    if keepalive is None:
        raise parameter.parser.error(f'invalid so_keepalive value: "{parameter.value}"')
    return keepalive


def _keepalive(text: str, earlier: Keepalive) -> Keepalive | None:
    """`on`, `off` or `[idle]:[interval]:[count]`; 0 is the kernel's default, an empty part the `earlier` value."""
    if text in ("on", "off"):
        return replace(earlier, on=text == "on")
    idle_text, _, rest = text.partition(":")
    interval_text, _, count_text = rest.partition(":")
    idle = _bounded(values.seconds(idle_text)) if idle_text else earlier.idle or 0
    interval = _bounded(values.seconds(interval_text)) if interval_text else earlier.interval or 0
    count = _bounded(values.number(count_text)) if count_text else earlier.count or 0
    if idle is None or interval is None or count is None or not (idle or interval or count):
        return None
    return Keepalive(True, idle or None, interval or None, count or None)


_PARAMETERS: Final[Mapping[str, Callable[[_Parameter], object]]] = {
    "backlog": _backlog,
    "rcvbuf": _buffer,
    "sndbuf": _buffer,
    "ipv6only": _ipv6only,
    "so_keepalive": _so_keepalive,
}
"""Parameters with values, by the names of their fields in Listen."""


@dataclass(slots=True)
class ListenDraft:
    """The listens of one server."""

    listen: tuple[Listen, ...] = row(Context.SERVER, ONE_OR_MORE, Value(_take_listen), ())


COMMANDS: Final = commands(ListenDraft)
