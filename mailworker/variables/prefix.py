"""Prefixes of addresses: those that one network has, as keys."""

from __future__ import annotations

import socket
from ipaddress import ip_network
from typing import Final

Lengths = tuple[int, int]
"""Bits of IPv4 and of IPv6 addresses."""

DEFAULT_LENGTHS: Final[Lengths] = (32, 64)

_MAPPED: Final = bytes(10) + b"\xff\xff"  # what stands before an IPv4 address in an IPv6 one
_IPV4_BYTES: Final = 4


def packed_prefix(host: str, lengths: Lengths) -> bytes:
    """The bytes of a prefix; one of an IPv6 address that is mapped from IPv4 is IPv4's."""
    if ":" in host:
        packed, length = socket.inet_pton(socket.AF_INET6, host), lengths[1]
        if packed.startswith(_MAPPED):
            packed, length = packed[len(_MAPPED) :], lengths[0]
    else:
        packed, length = socket.inet_aton(host), lengths[0]
    whole, bits = length >> 3, length & 7
    return packed[:whole] + bytes((packed[whole] & 0xFF00 >> bits & 0xFF,)) if bits else packed[:whole]


def spelled_prefix(packed: bytes, lengths: Lengths) -> str:
    """The network that such bytes are."""
    ipv4 = len(packed) <= _IPV4_BYTES
    length = lengths[0 if ipv4 else 1]
    family, size = (socket.AF_INET, _IPV4_BYTES) if ipv4 else (socket.AF_INET6, 16)
    network = ip_network((socket.inet_ntop(family, packed[:size].ljust(size, b"\0")), length), strict=False)
    return str(network.network_address if length == 8 * size else network)
