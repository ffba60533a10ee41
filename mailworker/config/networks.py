"""Networks as `set_real_ip_from` and `debug_connection` take them: an address, a CIDR block, a host name, `unix:`."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from mailworker.config import values
from mailworker.config.addresses import BadAddress, resolve_host
from mailworker.config.rows import Value
from mailworker.config.slots import repeated
from mailworker.config.tree import Parser

Network = IPv4Network | IPv6Network | str
"""A block of addresses, or "unix:" for every unix domain socket."""


def read_block(parser: Parser, word: str) -> IPv4Network | IPv6Network | None:
    """An address or CIDR block; None for another word. Warns of host bits."""
    network, has_host_bits = values.network(word) or (None, False)
    if has_host_bits:
        parser.warn(f"low address bits of {word} are meaningless")
    return network


def read_network(parser: Parser, word: str) -> Network:
    """An address, a CIDR block, or "unix:"; raises ConfigError for another word."""
    network = word if word == "unix:" else read_block(parser, word)
    if network is None:
        raise parser.error(f'invalid parameter "{word}"')
    return network


def _read(parser: Parser) -> tuple[Network, ...]:
    directive, word = parser.words
    network = word if word == "unix:" else read_block(parser, word)
    if network is not None:
        return (network,)
    try:
        return tuple(ip_network(address) for address in resolve_host(word, parser.resolve))
    except BadAddress as reason:
        raise parser.error(f'{reason} in {directive} "{word}"') from reason


NETWORKS: Final = Value(repeated(_read))
"""Networks; the directive may be repeated."""
