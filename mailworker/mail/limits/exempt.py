"""Networks that are in no limit (`limit_auth_exempt`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mailworker.config.networks import Network
from mailworker.variables.prefix import packed_prefix

_UNIX: Final = "unix:"
_WHOLE: Final = (32, 128)
_IPV4_BYTES: Final = 4


class Exempt:
    """Asked with each login: as few steps as can be, whatever the number of networks."""

    __slots__ = ("_ipv4", "_ipv6", "_unix")

    def __init__(self, networks: Iterable[Network]) -> None:
        networks = tuple(networks)
        self._ipv4 = _by_shift(networks, 4, 32)
        self._ipv6 = _by_shift(networks, 6, 128)
        self._unix = _UNIX in networks

    def holds(self, client: str) -> bool:
        """Whether an address is in one of them; "unix:" is that of clients of unix sockets."""
        if client == _UNIX:
            return self._unix
        packed = packed_prefix(client, _WHOLE)
        number = int.from_bytes(packed, "big")
        for shift, numbers in self._ipv4 if len(packed) == _IPV4_BYTES else self._ipv6:
            if number >> shift in numbers:
                return True
        return False


def _by_shift(networks: Iterable[Network], version: int, bits: int) -> tuple[tuple[int, frozenset[int]], ...]:
    found: dict[int, set[int]] = {}
    for network in networks:
        if not isinstance(network, str) and network.version == version:
            shift = bits - network.prefixlen
            found.setdefault(shift, set()).add(int(network.network_address) >> shift)
    return tuple((shift, frozenset(numbers)) for shift, numbers in found.items())
