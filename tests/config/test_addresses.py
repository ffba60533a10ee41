from __future__ import annotations

import socket

import pytest

from mailworker.config.addresses import BadAddress, parse_url, system_addresses
from tests.config.conftest import resolve


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("25", ["0.0.0.0:25"]),
        ("25-27", ["0.0.0.0:25", "0.0.0.0:26", "0.0.0.0:27"]),
        ("*:25", ["0.0.0.0:25"]),
        ("127.0.0.1", ["127.0.0.1:0"]),
        ("127.0.0.01:25-26", ["127.0.0.1:25", "127.0.0.1:26"]),
        ("[::1]:25", ["[::1]:25"]),
        ("[0:0::1]:25-26", ["[::1]:25", "[::1]:26"]),
        ("[::ffff:1.2.3.4]:25", ["[::ffff:1.2.3.4]:25"]),
        ("localhost:25", ["127.0.0.1:25", "[::1]:25"]),
        ("unix:/run/mail", ["unix:/run/mail"]),
        ("UNIX:/run/a:b", ["unix:/run/a:b"]),
    ],
)
def test_listen_addresses(text: str, addresses: list[str]) -> None:
    assert [str(address) for address in parse_url(text, resolve, listen=True).addresses] == addresses


@pytest.mark.parametrize(
    ("text", "host", "address", "uri"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:80", ""),
        ("127.0.0.1:9000/auth?a:b", "127.0.0.1", "127.0.0.1:9000", "/auth?a:b"),
        ("mail.example.com?x", "mail.example.com", "192.0.2.1:80", "?x"),
        ("[::1]/a", "[::1]", "[::1]:80", "/a"),
        ("[::1]:81/", "[::1]", "[::1]:81", "/"),
        ("unix:/run/auth:/a:b", "/run/auth", "unix:/run/auth", "/a:b"),
        ("unix:/run/auth", "/run/auth", "unix:/run/auth", ""),
    ],
)
def test_addresses_with_a_uri(text: str, host: str, address: str, uri: str) -> None:
    url = parse_url(text, resolve, default_port=80, uri_part=True)
    assert (url.host, str(url.addresses[0]), url.uri) == (host, address, uri)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", "invalid port"),
        ("65536", "invalid port"),
        ("1-65536", "invalid port"),
        ("9" * 4000, "invalid port"),
        ("30-20", "invalid port range"),
        ("127.0.0.1:x", "invalid port"),
        ("127.0.0.1:", "invalid port"),
        ("127.0.0.1/", "invalid host"),
        ("nosuch:25", "host not found"),
        ("25-x", "host not found"),
        (":25", "no host"),
        ("", "no host"),
        ("[]:25", "no host"),
        ("[::1", "invalid host"),
        ("[::1]25", "invalid host"),
        ("[::g]", "invalid IPv6 address"),
        ("unix:", "no path in the unix domain socket"),
        ("unix:" + "a" * 108, "too long path in the unix domain socket"),
    ],
)
def test_bad_listen_addresses(text: str, reason: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse_url(text, resolve, listen=True)
    assert str(caught.value) == reason


def test_the_system_resolves_numeric_addresses_without_a_network() -> None:
    assert system_addresses("127.0.0.1") == ["127.0.0.1"]


def test_of_the_systems_addresses_those_come_last_that_no_route_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["::1", "255.255.255.255", "127.0.0.1"]  # no packet for the second one is ever sent
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in known]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert system_addresses("mail.example.com") == ["127.0.0.1", "::1", "255.255.255.255"]
