"""Addresses in directives (ngx_parse_url): `host:port`, `[v6]:port`, `unix:path`."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mailworker.model import Address, InetAddress, UnixAddress, ipv4_octets

Resolve = Callable[[str], Sequence[str]]
"""Returns the numeric addresses of a host name, the best first; raises OSError or UnicodeError if there are none."""

LONGEST_UNIX_PATH: Final = 107  # bytes that fit into sockaddr_un before its NUL
_HIGHEST_PORT: Final = 65535

_DIGITS = re.compile(r"[0-9]+")


class BadAddress(ValueError):
    """The text is not a valid address; the message is nginx's."""


@dataclass(frozen=True, slots=True)
class Url:
    """A parsed address: `host` is as written, `port` is 0 if none is given, `uri` is empty if none is given."""

    host: str
    port: int
    uri: str
    addresses: tuple[Address, ...]

    @property
    def http_host(self) -> bytes:
        """The value of the Host header for requests to this address."""
        return b"localhost" if isinstance(self.addresses[0], UnixAddress) else os.fsencode(self.host)

    @property
    def target(self) -> bytes:
        """The request target."""
        return os.fsencode(self.uri or "/")


def system_addresses(host: str) -> list[str]:
    """Addresses of `host` by the system's resolver: IPv4 first, but those last that no route leads to."""
    answers = socket.getaddrinfo(
        host.encode(errors="surrogateescape"), None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    addresses = [str(sockaddr[0]) for _, _, _, _, sockaddr in answers]
    return sorted(addresses, key=lambda address: (not _is_routed(address), ":" in address))


def _is_routed(address: str) -> bool:
    """Whether the system would know where to send a packet for the address; it sends none."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
    except OSError:
        return False
    return True


def parse_url(
    text: str, resolve: Resolve, *, default_port: int = 0, listen: bool = False, uri_part: bool = False
) -> Url:
    """Parse an address; raises BadAddress.

    `listen` allows "*", a bare port and port ranges; `uri_part` allows a path after the address.
    """
    if text[:5].lower() == "unix:":
        return _parse_unix(text[5:], uri_part)
    host, port_text, uri = _split_ipv6(text) if text.startswith("[") else _split(text)
    if uri and (listen or not uri_part):
        raise BadAddress("invalid host")
    if listen and port_text is None and not text.startswith("["):
        ports = _bare_ports(host)
        if ports is not None:
            return Url("*", ports[0], "", _with_ports(["0.0.0.0"], ports))
    ports = range(default_port, default_port + 1) if port_text is None else _ports(port_text, listen)
    return Url(host, ports[0], uri, _with_ports(_addresses(host, listen, resolve), ports))


def ipv4_text(text: str) -> str | None:
    """The address in its usual spelling, or None."""
    octets = ipv4_octets(text.encode(errors="surrogateescape"))
    return None if octets is None else ".".join(map(str, octets))


def ipv6_text(text: str) -> str | None:
    """The address in its shortest spelling, or None."""
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        return None


def resolve_host(host: str, resolve: Resolve) -> list[str]:
    """All addresses of a name, the best first; raises BadAddress."""
    try:
        addresses = [address.partition("%")[0] for address in resolve(host)]
    except (OSError, ValueError):  # a UnicodeError is a ValueError
        addresses = []
    if not addresses:
        raise BadAddress("host not found")
    return addresses


def _parse_unix(rest: str, uri_part: bool) -> Url:
    path, _, uri = rest.partition(":") if uri_part else (rest, "", "")
    if not path:
        raise BadAddress("no path in the unix domain socket")
    if len(path.encode(errors="surrogateescape")) > LONGEST_UNIX_PATH:
        raise BadAddress("too long path in the unix domain socket")
    return Url(path, 0, uri, (UnixAddress(path),))


def _split_ipv6(text: str) -> tuple[str, str | None, str]:
    host, bracket, rest = text.partition("]")
    rest, slash, uri = rest.partition("/")
    if not bracket or (rest and not rest.startswith(":")):
        raise BadAddress("invalid host")
    return host + bracket, rest[1:] if rest else None, slash + uri


def _split(text: str) -> tuple[str, str | None, str]:
    uri_start = next((index for index, char in enumerate(text) if char in "/?"), len(text))
    host, colon, port = text[:uri_start].partition(":")
    return host, port if colon else None, text[uri_start:]


def _bare_ports(text: str) -> range | None:
    """The ports of a `listen` without a host, None if the text is a host."""
    first, dash, last = text.partition("-")
    if dash and not _DIGITS.fullmatch(last):
        return None
    return _ports(text, True) if _DIGITS.fullmatch(first) else None


def _ports(text: str, ranges: bool) -> range:
    first, dash, last = text.partition("-") if ranges else (text, "", "")
    low = _port(first)
    high = _port(last) if dash else low
    if low > high:
        raise BadAddress("invalid port range")
    return range(low, high + 1)


def _port(text: str) -> int:
    port = int(text) if _DIGITS.fullmatch(text) and len(text.lstrip("0")) <= 5 else 0
    if not 1 <= port <= _HIGHEST_PORT:
        raise BadAddress("invalid port")
    return port


def _addresses(host: str, listen: bool, resolve: Resolve) -> list[str]:
    if host.startswith("["):
        if host == "[]":
            raise BadAddress("no host")
        address = ipv6_text(host[1:-1])
        if address is None:
            raise BadAddress("invalid IPv6 address")
        return [address]
    if not host:
        raise BadAddress("no host")
    if listen and host == "*":
        return ["0.0.0.0"]
    address = ipv4_text(host)
    return [address] if address else resolve_host(host, resolve)


def _with_ports(hosts: Sequence[str], ports: range) -> tuple[Address, ...]:
    def pairs() -> Iterator[InetAddress]:
        for host in hosts:
            for port in ports:
                yield InetAddress(host, port)

    return tuple(dict.fromkeys(pairs()))
