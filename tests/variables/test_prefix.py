from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.variables.prefix import packed_prefix, spelled_prefix


@pytest.mark.parametrize(
    ("host", "lengths", "packed", "spelled"),
    [
        ("192.0.2.7", (32, 64), b"\xc0\0\2\7", "192.0.2.7"),
        ("192.0.2.7", (24, 64), b"\xc0\0\2", "192.0.2.0/24"),
        ("192.0.2.255", (30, 64), b"\xc0\0\2\xfc", "192.0.2.252/30"),
        ("2001:db8:1:2:3::4", (32, 64), b"\x20\1\r\xb8\0\1\0\2", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3::4", (32, 48), b"\x20\1\r\xb8\0\1", "2001:db8:1::/48"),
        ("2001:db8::1", (32, 128), b"\x20\1\r\xb8" + bytes(11) + b"\1", "2001:db8::1"),
        ("::ffff:192.0.2.7", (32, 64), b"\xc0\0\2\7", "192.0.2.7"),
    ],
)
def test_prefixes(host: str, lengths: tuple[int, int], packed: bytes, spelled: str) -> None:
    assert packed_prefix(host, lengths) == packed
    assert spelled_prefix(packed, lengths) == spelled


@given(st.ip_addresses(), st.integers(1, 32), st.integers(33, 128))
def test_a_prefix_is_what_all_of_a_network_have(address: object, ipv4: int, ipv6: int) -> None:
    ip = ip_address(str(address))
    if ip.version == 6 and getattr(ip, "ipv4_mapped", None) is not None:
        return
    length = ipv4 if ip.version == 4 else ipv6
    network = ip_network(f"{ip}/{length}", strict=False)
    spelled = spelled_prefix(packed_prefix(str(ip), (ipv4, ipv6)), (ipv4, ipv6))
    assert ip_network(spelled) == network
    same = packed_prefix(str(network.network_address), (ipv4, ipv6))
    assert same == packed_prefix(str(network.broadcast_address), (ipv4, ipv6))
