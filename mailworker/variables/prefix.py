"""Address prefixes, as keys for all addresses of a network."""

from __future__ import annotations

import socket
from ipaddress import ip_network
from typing import Final

from mailworker.model import MAPPED

Lengths = tuple[int, int]
"""Prefix lengths, in bits, of IPv4 and of IPv6 addresses."""

DEFAULT_LENGTHS: Final[Lengths] = (32, 64)

WHOLE: Final[Lengths] = (32, 128)
"""The lengths of prefixes that are whole addresses."""

_IPV4_BYTES: Final = 4


def packed_prefix(host: str, lengths: Lengths) -> bytes:
    """The bytes of a prefix; an IPv4-mapped IPv6 address has an IPv4 prefix."""
    if ":" in host:
        packed, length = socket.inet_pton(socket.AF_INET6, host), lengths[1]
        if packed.startswith(MAPPED):
            packed, length = packed[len(MAPPED) :], lengths[0]
    else:
        packed, length = socket.inet_aton(host), lengths[0]
    whole, bits = length >> 3, length & 7
    return packed[:whole] + bytes((packed[whole] & 0xFF00 >> bits & 0xFF,)) if bits else packed[:whole]


def spelled_prefix(packed: bytes, lengths: Lengths) -> str:
    """The network of a packed prefix, as text."""
    ipv4 = len(packed) <= _IPV4_BYTES
    length = lengths[0 if ipv4 else 1]
    family, size = (socket.AF_INET, _IPV4_BYTES) if ipv4 else (socket.AF_INET6, 16)
    network = ip_network((socket.inet_ntop(family, packed[:size].ljust(size, b"\0")), length), strict=False)
    return str(network.network_address if length == 8 * size else network)
