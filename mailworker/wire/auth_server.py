"""The backend that an auth service names."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

from mailworker.config.settings import InetAddress
from mailworker.errors import Party, ProtocolError, escape

# nginx: four runs of digits, which may be empty
_IPV4 = re.compile(rb"([0-9]*)\.([0-9]*)\.([0-9]*)\.([0-9]*)")

_PORT = re.compile(rb"0*([1-9][0-9]{0,4})")


@lru_cache(maxsize=4096)  # there are few backends and many logins
def read_server(server: bytes, port: bytes) -> InetAddress:
    """What Auth-Server and Auth-Port name; raises ProtocolError(AUTH_SERVICE) where it is no address."""
    host = _ipv4(server) or _ipv6(server)
    if host is None:
        raise ProtocolError(Party.AUTH_SERVICE, f'sent invalid server address:"{escape(server)}"')
    number = _PORT.fullmatch(port)
    if number is None or int(number[1]) > 65535:
        raise ProtocolError(Party.AUTH_SERVICE, f'sent invalid server port:"{escape(port)}"')
    return InetAddress(host, int(number[1]))


def _ipv4(text: bytes) -> str | None:
    """An address as nginx reads it: the highest one is none."""
    match = _IPV4.fullmatch(text)
    octets = [int(digits.lstrip(b"0")[:4] or b"0") for digits in match.groups()] if match else [256]
    return None if max(octets) > 255 or min(octets) == 255 else ".".join(map(str, octets))


def _ipv6(text: bytes) -> str | None:
    if not text.isascii() or b"%" in text:
        return None
    try:
        IPv6Address(text.decode("ascii"))
    except AddressValueError:
        return None
    return text.decode("ascii")
