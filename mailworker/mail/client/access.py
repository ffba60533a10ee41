"""The rules of `allow` and `deny` (ngx_stream_access_handler)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final

from mailworker.config.access import ALL, Rule
from mailworker.model import Address, InetAddress

_MAPPED: Final = 0xFFFF  # the prefix of an IPv4-mapped IPv6 address


class Access:
    """Access rules: the first one that matches a client decides; if none matches, the client may connect.

    Thousands of rules cost no more than a few, if their prefixes have few different lengths. Two objects are equal if
    their rules are.
    """

    __slots__ = ("_ipv4", "_ipv6", "_rules", "_unix")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._ipv4 = _Blocks(_of_version(rules, 4), 32)
        self._ipv6 = _Blocks(_of_version(rules, 6), 128)
        self._unix = next((rule.allow for rule in rules if rule.who in (ALL, "unix:")), True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Access) and self._rules == other._rules

    def __hash__(self) -> int:
        return hash(self._rules)

    def allows(self, client: Address) -> bool:
        """Whether the client may connect; an IPv4-mapped IPv6 address is checked as IPv4, as in nginx."""
        return self.allows_host(client.host if isinstance(client, InetAddress) else "unix:")

    def allows_host(self, host: str) -> bool:
        """As `allows`, for an address without a port, or "unix:"."""
        if host == "unix:":
            return self._unix
        ip = ip_address(host)
        number = int(ip)
        if ip.version == 4:
            return self._ipv4.allow(number)
        if self._ipv4 and number >> 32 == _MAPPED:
            return self._ipv4.allow(number & 0xFFFFFFFF)
        return self._ipv6.allow(number)


class _Blocks:
    """Address blocks of one IP version; false if there are none."""

    __slots__ = ("_allow", "_by_length")

    def __init__(self, rules: Iterable[tuple[int, int, bool]], bits: int) -> None:
        """`rules` are (address as number, prefix length, whether it is allowed); `bits` is the length of an address."""
        self._allow: list[bool] = []
        by_length: dict[int, dict[int, int]] = {}
        for place, (number, length, allow) in enumerate(rules):
            self._allow.append(allow)
            shift = bits - length
            by_length.setdefault(shift, {}).setdefault(number >> shift, place)
        self._by_length = tuple(by_length.items())

    def __bool__(self) -> bool:
        return bool(self._allow)

    def allow(self, number: int) -> bool:
        """The decision of the first rule that matches."""
        allow = self._allow
        first = none = len(allow)
        for shift, places in self._by_length:
            first = min(first, places.get(number >> shift, none))
        return first == none or allow[first]


def _of_version(rules: Iterable[Rule], version: int) -> Iterable[tuple[int, int, bool]]:
    for rule in rules:
        if rule.who == ALL:
            yield 0, 0, rule.allow
        elif not isinstance(rule.who, str) and rule.who.version == version:
            yield int(rule.who.network_address), rule.who.prefixlen, rule.allow
