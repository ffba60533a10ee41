"""Rules of `allow` and `deny`; beside nginx they stand in tests/oracle/test_access.py."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailworker.config.access import ALL, Rule
from mailworker.mail.client.access import Access
from mailworker.model import InetAddress, UnixAddress
from tests.support.cpu_time import CpuTime

UNIX = UnixAddress("/run/clients")


def access(*rules: str) -> Access:
    """Rules as "+10.0.0.0/8" for `allow` and "-all" for `deny`."""
    return Access(
        [Rule(rule[0] == "+", rule[1:] if rule[1:] in (ALL, "unix:") else ip_network(rule[1:])) for rule in rules]
    )


def client(host: str) -> InetAddress | UnixAddress:
    return UNIX if host == "unix:" else InetAddress(host, 12345)


@pytest.mark.parametrize(
    ("rules", "allowed", "denied"),
    [
        ((), ("10.0.0.1", "::1", "unix:"), ()),
        (("-10.0.0.0/8",), ("11.0.0.1", "::1", "unix:"), ("10.0.0.1", "::ffff:10.0.0.1")),
        (("+10.0.0.0/8", "-all"), ("10.0.0.1", "::ffff:10.0.0.1"), ("11.0.0.1", "::1", "unix:")),
        (("-10.0.0.1", "+10.0.0.0/24", "-10.0.0.0/8"), ("10.0.0.2",), ("10.0.0.1", "10.0.1.1")),
        (("+10.0.0.0/8", "-10.0.0.0/8"), ("10.0.0.1",), ()),
        (("-2001:db8::/32",), ("2001:db9::", "10.0.0.1"), ("2001:db8::1",)),
        (("-unix:",), ("10.0.0.1", "::1"), ("unix:",)),
        (("+unix:", "-all"), ("unix:",), ("10.0.0.1", "::1")),
        (("-all", "+10.0.0.1"), (), ("10.0.0.1", "::1", "unix:")),
        # Without a rule for IPv4 a mapped address is one of IPv6, as in nginx.
        (("-::ffff:0:0/96",), ("10.0.0.1",), ("::ffff:10.0.0.1",)),
        (("-::ffff:0:0/96", "+10.0.0.1"), ("10.0.0.1", "::ffff:10.0.0.2"), ()),
    ],
)  # fmt: skip
def test_the_first_rule_that_fits_counts(
    rules: tuple[str, ...], allowed: tuple[str, ...], denied: tuple[str, ...]
) -> None:
    judge = access(*rules)
    assert [host for host in allowed + denied if judge.allows(client(host))] == list(allowed)


def test_those_with_the_same_rules_are_equal() -> None:
    assert access("-10.0.0.1") == access("-10.0.0.1")
    assert hash(access("-10.0.0.1")) == hash(access("-10.0.0.1"))
    assert access("-10.0.0.1") != access("+10.0.0.1")
    assert access() != ()


def test_a_long_list_costs_no_more_than_a_short_one() -> None:
    long = access(*(f"-10.{number >> 8}.{number & 255}.7" for number in range(20_000)), "-192.0.2.0/24")
    with CpuTime() as took:
        for _ in range(1000):
            assert long.allows(InetAddress("203.0.113.9", 1))
    assert took.seconds < 1.0  # it takes 10 ms, and one by one 2 s
    assert not long.allows(InetAddress("10.78.31.7", 1))
    assert not long.allows(InetAddress("192.0.2.1", 1))
