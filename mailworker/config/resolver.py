"""`resolver ADDRESS... [valid=TIME] [ipv4=on|off] [ipv6=on|off]` (ngx_resolver_create)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mailworker.config.addresses import BadAddress, parse_url
from mailworker.config.rows import Value
from mailworker.config.slots import once
from mailworker.config.tree import Parser
from mailworker.config.values import seconds
from mailworker.model import InetAddress


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """`resolver`: `servers` is empty if it is off; with `valid` None, answers are cached for their TTL."""

    servers: tuple[InetAddress, ...] = ()
    valid: float | None = None
    ipv4: bool = True
    ipv6: bool = True
    timeout: float = 30.0


DNS_PORT: Final = 53
_SWITCHES: Final = {"on": True, "off": False}


def _read_resolver(parser: Parser) -> ResolverSettings:
    """The directive's settings, with the default timeout."""
    if parser.words[1] == "off":
        return ResolverSettings()
    resolver = ResolverSettings()
    for word in parser.words[1:]:
        resolver = _with_parameter(parser, resolver, word)
    if not resolver.ipv4 and not resolver.ipv6:
        raise parser.error('"ipv4" and "ipv6" cannot both be "off"')
    if not resolver.servers:
        raise parser.error("no name servers defined")
    return resolver


def _with_parameter(parser: Parser, resolver: ResolverSettings, word: str) -> ResolverSettings:
    name, equals, value = word.partition("=")
    if equals and name == "valid":
        valid = seconds(value)
        if valid is None:
            raise parser.error(f"invalid parameter: {word}")
        return replace(resolver, valid=float(valid))
    if equals and name in ("ipv4", "ipv6"):
        if value not in _SWITCHES:
            raise parser.error(f"invalid parameter: {word}")
        on = _SWITCHES[value]
        return replace(resolver, ipv4=on) if name == "ipv4" else replace(resolver, ipv6=on)
    return replace(resolver, servers=resolver.servers + _name_servers(parser, word))


def _name_servers(parser: Parser, word: str) -> tuple[InetAddress, ...]:
    try:
        addresses = parse_url(word, parser.resolve, default_port=DNS_PORT).addresses
    except BadAddress as reason:
        raise parser.error(f'{reason} in resolver "{word}"') from reason
    servers = tuple(address for address in addresses if isinstance(address, InetAddress))
    if not servers:  # a unix socket: nginx accepts it, but cannot use it
        raise parser.error(f'invalid host in resolver "{word}"')
    return servers


RESOLVER: Final = Value(once(_read_resolver))
