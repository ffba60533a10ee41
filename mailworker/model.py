"""Types that all of mailworker shares: addresses, authentication methods, severities."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

# A host name (RFC 1123 section 2.1), with underscores, as they are in use; no top-level domain begins with a digit, so
# a mistyped address is no host name.
_LABEL = rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rb"(?=.{1,253}\Z)(?:%b\.)*(?=[A-Za-z])%b" % (_LABEL, _LABEL))
_IPV4 = re.compile(rb"([0-9]*)\.([0-9]*)\.([0-9]*)\.([0-9]*)")

MAPPED: Final = bytes(10) + b"\xff\xff"
"""The first bytes of an IPv6 address that stands for an IPv4 address."""

After = Callable[[float, Callable[[], None]], None]
"""Calls a function after a number of seconds."""

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""The names of months in logs; strftime would use the locale's language."""


class Level(IntEnum):
    """Severities of the error log, nginx's numbers: a log takes its level and all lower numbers."""

    EMERG = 1
    ALERT = 2
    CRIT = 3
    ERROR = 4
    WARN = 5
    NOTICE = 6
    INFO = 7
    DEBUG = 8


class AuthMethod(IntFlag):
    """Authentication methods, those of imap_auth, pop3_auth and smtp_auth; see METHOD_NAMES."""

    __hash__ = int.__hash__  # Flag's own is in Python, and every login looks up some methods

    PLAIN = 1
    LOGIN = 2
    APOP = 4
    CRAM_MD5 = 8
    EXTERNAL = 16
    NONE = 32
    XOAUTH2 = 64
    OAUTHBEARER = 128


@dataclass(frozen=True, slots=True)
class MethodNames:
    """The names of a method: in directives, in SASL (None if it is no mechanism), and in Auth-Method."""

    directive: str
    sasl: str | None
    auth_http: str


# In the order in which nginx and freenginx advertise mechanisms.
METHOD_NAMES: Final[Mapping[AuthMethod, MethodNames]] = {
    AuthMethod.PLAIN: MethodNames("plain", "PLAIN", "plain"),
    AuthMethod.LOGIN: MethodNames("login", "LOGIN", "plain"),
    AuthMethod.APOP: MethodNames("apop", None, "apop"),
    AuthMethod.CRAM_MD5: MethodNames("cram-md5", "CRAM-MD5", "cram-md5"),
    AuthMethod.EXTERNAL: MethodNames("external", "EXTERNAL", "external"),
    AuthMethod.XOAUTH2: MethodNames("xoauth2", "XOAUTH2", "xoauth2"),
    AuthMethod.OAUTHBEARER: MethodNames("oauthbearer", "OAUTHBEARER", "oauthbearer"),
    AuthMethod.NONE: MethodNames("none", None, "none"),
}


class Starttls(Enum):
    """`starttls`."""

    OFF = "off"
    ON = "on"
    ONLY = "only"


class VerifyClient(Enum):
    """`ssl_verify_client`."""

    OFF = "off"
    ON = "on"
    OPTIONAL = "optional"
    OPTIONAL_NO_CA = "optional_no_ca"


class ProxyProtocol(Enum):
    """`proxy_protocol`, the header sent to the backend."""

    OFF = "off"
    V1 = "on"
    V2 = "v2"


class Tlv(IntFlag):
    """`proxy_protocol_tlv`: the TLVs of a PROXY header of version 2, by nginx's names."""

    ALPN = 1
    AUTHORITY = 2
    UNIQUE_ID = 4
    SSL = 8
    SSL_CN = 16
    SSL_CIPHER = 32
    SSL_SIG_ALG = 64
    SSL_KEY_ALG = 128


class XclientGuard(Enum):
    """`proxy_smtp_xclient_guard`: which sessions end on an XCLIENT that could claim a login at the backend."""

    OFF = "off"
    ANONYMOUS = "anonymous"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix domain socket; `str()` is nginx's spelling."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class InetAddress(NamedTuple):
    """A numeric IPv4 or IPv6 address and a port; `str()` is nginx's spelling ("1.2.3.4:25", "[::1]:25")."""

    host: str
    port: int

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    @property
    def bare(self) -> str:
        """nginx's spelling of backends: without brackets."""
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Address = UnixAddress | InetAddress


def ipv4_octets(text: bytes) -> bytes | None:
    """The octets of an IPv4 address as nginx reads it (ngx_inet_addr); None for any other text.

    An empty octet is 0, and the highest address is none.
    """
    match = _IPV4.fullmatch(text)
    octets = [int(digits.lstrip(b"0")[:4] or b"0") for digits in match.groups()] if match else [256]
    return None if max(octets) > 255 or min(octets) == 255 else bytes(octets)


def unmapped(host: str) -> IPv4Address | IPv6Address:
    """A numeric address; an IPv4-mapped IPv6 address becomes the IPv4 address. Raises ValueError."""
    ip = ip_address(host)
    return ip if ip.version == 4 else ip.ipv4_mapped or ip


@dataclass(frozen=True, slots=True)
class BackendName:
    """A backend with a name, in lower case; its addresses are yet to be resolved unless `addresses` are given."""

    name: str
    port: int
    addresses: tuple[InetAddress, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


def is_host_name(text: bytes) -> bool:
    """Whether `text` may be a host name, and is no mistyped address."""
    return _HOST_NAME.fullmatch(text) is not None


def host_name(text: bytes) -> str | None:
    """The host name that `text` is, in lower case and without a final dot, with which DNS writes names; else None."""
    name = text.removesuffix(b".")
    return name.decode().lower() if is_host_name(name) else None
