from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.mail.client.address import is_inside
from mailworker.mail.limits.exempt import Exempt

NETWORKS = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "192.0.2.7", "192.0.2.16/28", "2001:db8::/32", "::1", "0.0.0.0/32")
)


@pytest.mark.parametrize(
    ("client", "holds"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("192.0.2.31", True),
        ("2001:db8:ffff::1", True),
        ("2001:db9::1", False),
        ("::1", True),
        ("::ffff:10.0.0.1", True),
        ("unix:", False),
    ],
)
def test_networks(client: str, holds: bool) -> None:
    assert Exempt(NETWORKS).holds(client) is holds


def test_clients_of_unix_sockets() -> None:
    assert Exempt(("unix:",)).holds("unix:")
    assert not Exempt(("unix:",)).holds("127.0.0.1")


@given(st.ip_addresses(), st.lists(st.integers(0, 32), max_size=4))
def test_it_is_asked_as_every_other_list_of_networks(address: object, lengths: list[int]) -> None:
    networks = tuple(ip_network(f"{address}/{length}", strict=False) for length in lengths)
    for host in (str(address), "192.0.2.1", "2001:db8::1"):
        assert Exempt(networks).holds(host) is is_inside(host, networks)
