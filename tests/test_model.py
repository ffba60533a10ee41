from __future__ import annotations

from ipaddress import ip_address

import pytest

from mailworker.model import Address, AuthMethod, InetAddress, Level, UnixAddress, unmapped


@pytest.mark.parametrize(
    ("address", "spelling"),
    [
        (InetAddress("1.2.3.4", 25), "1.2.3.4:25"),
        (InetAddress("::1", 25), "[::1]:25"),
        (UnixAddress("/run/mail"), "unix:/run/mail"),
    ],
)
def test_an_address_is_spelled_as_nginx_does(address: Address, spelling: str) -> None:
    assert str(address) == spelling


def test_an_ipv6_address_stands_without_brackets_where_nginx_names_backends() -> None:
    assert (InetAddress("::1", 25).is_ipv6, InetAddress("::1", 25).bare) == (True, "::1:25")


@pytest.mark.parametrize(
    ("host", "address"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("::", "::")],
)
def test_an_address_mapped_from_ipv4_is_that_one(host: str, address: str) -> None:
    assert unmapped(host) == ip_address(address)


def test_a_log_takes_its_level_and_all_below_it() -> None:
    assert sorted(Level, reverse=True)[0] is Level.DEBUG
    assert Level.WARN <= Level.NOTICE


def test_ways_to_log_in_are_hashed_without_python() -> None:
    assert "__hash__" in vars(AuthMethod)
    assert {AuthMethod.PLAIN | AuthMethod.APOP: 1}[AuthMethod(5)] == 1
