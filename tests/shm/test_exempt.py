"""Networks in the order in which C searches them; test_attempts.py asks for clients."""

from __future__ import annotations

from ipaddress import ip_network

from mailworker.shm.exempt import in_order


def test_networks_are_sorted_and_none_is_inside_another() -> None:
    texts = ("192.0.2.7/32", "10.1.0.0/16", "2001:db8::/32", "10.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48")
    networks = [(each.network_address.packed, each.prefixlen) for each in map(ip_network, texts)]
    found = in_order([*networks, (b"", 0)])
    expected = [(b"", 0), *(networks[place] for place in (3, 0, 2))]
    assert found == b"".join(
        bytes([len(packed)]) + packed.ljust(16, b"\0") + bytes([8 + bits]) for packed, bits in expected
    )
