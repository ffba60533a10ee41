"""Dovecot's passwd-file, with lines of `user:password:uid:gid:gecos:home:shell:extra fields`.

Apache's htpasswd files have only the first two fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from mailworker.errors import MailworkerError, escape
from mailworker.model import host_name

_EXTRA: Final = 7  # the field's number
_PORT = re.compile(rb"[1-9][0-9]{0,4}")

LOCAL: Final = "local"
"""The word in `allow_nets` for clients of a unix socket."""

# Unsupported fields of Dovecot that refuse a user, or restrict the connection to the backend. If they were ignored, a
# login would be accepted, or a password sent, against the administrator's will.
_UNKNOWN_HERE: Final = frozenset(
    b"allow_real_nets check_client_fp delay_until domain fail forward hostip noauthenticate proxy_mech "
    b"proxy_not_trusted source_ip username".split()
)


ANY_CERTIFICATE: Final = b"any-cert"
"""The value of `ssl` and `starttls` by which no certificate is verified."""


class BrokenLine(MailworkerError):
    """A line that cannot be used; the text contains no part of a password."""


@dataclass(slots=True)
class PasswdRow:
    """One user. `password` is as in the file, empty if there is none.

    `user` and `backend_password` are the credentials for the backend, None for those that the client has sent; `master`
    logs in there in place of the user. Without a `host` the configuration chooses the backend, without a `port` the
    protocol does. `ssl` or `starttls`, which overrides it, is the demand for TLS with the backend, None without one;
    its certificate is verified unless the value is ANY_CERTIFICATE. `reason` is the reply to a user with `nologin`.
    `allow_nets` None allows all addresses.
    """

    name: bytes
    password: bytes
    host: str | None = None
    port: int | None = None
    user: bytes | None = None
    backend_password: bytes | None = None
    master: bytes | None = None
    ssl: bytes | None = None
    starttls: bytes | None = None
    proxy: bool = False
    nopassword: bool = False
    nologin: bool = False
    reason: bytes | None = None
    allow_nets: tuple[IPv4Network | IPv6Network | str, ...] | None = None


def parse_line(line: bytes) -> PasswdRow | None:
    """Parse a line without its end; None if it is empty or a comment. Raises BrokenLine."""
    line = line.removesuffix(b"\r")
    if not line or line[0] in b"#:":
        return None
    fields = line.split(b":", _EXTRA)
    if len(fields) == 1:
        raise BrokenLine('no ":" behind the name')
    row = PasswdRow(fields[0], fields[1])
    for field in fields[2:_EXTRA]:
        if field:
            _refuse_extra(field)
    if len(fields) > _EXTRA:
        for word in fields[_EXTRA].split():
            key, separator, value = word.partition(b"=")
            _take(row, key, value, given=bool(separator))
    if row.port is not None and row.host is None:
        raise BrokenLine('"port" without "host"')
    if row.nopassword and row.password:
        raise BrokenLine('both a password and "nopassword"')
    return row


def _refuse_extra(field: bytes) -> None:
    """Raise BrokenLine for an extra field before its place. Dovecot lets a user with a `nologin` there in."""
    for word in field.split():
        key, separator, _ = word.partition(b"=")
        if key in _FIELDS and (separator or key in _SURE):
            raise BrokenLine(f'"{escape(key)}" is before the seventh colon')


def _take(row: PasswdRow, key: bytes, value: bytes, *, given: bool) -> None:
    if key in _FIELDS:
        field, read = _FIELDS[key]
        setattr(row, field, read(value))
        return
    if key in _MEANINGLESS:
        return
    name, suffix, _ = key.partition(b":")
    if name in _UNKNOWN_HERE or (suffix and (name in _FIELDS or name in _MEANINGLESS)):
        raise BrokenLine(f'extra field "{escape(key)}" is not supported')
    if suffix or not given:  # it may be a part of a password, and must not be logged
        raise BrokenLine("unknown word among the extra fields")


@lru_cache(maxsize=256)  # a file has many users, and few hosts
def _host(value: bytes) -> str:
    text = value.decode("ascii", "replace")
    host = text.lower() if _is_address(text) else host_name(value)
    if host is None:
        raise BrokenLine(f'invalid host "{escape(value)}"')
    return host


def _port(value: bytes) -> int:
    if not _PORT.fullmatch(value) or int(value) > 65535:
        raise BrokenLine(f'invalid port "{escape(value)}"')
    return int(value)


def _user(value: bytes) -> bytes:
    if not value:
        raise BrokenLine("empty user")
    return value


def _yes(_value: bytes) -> bool:
    """True for any value, as in Dovecot."""
    return True


def _networks(value: bytes) -> tuple[IPv4Network | IPv6Network | str, ...]:
    return tuple(_network(word) for word in value.decode("ascii", "replace").split(","))


def _network(word: str) -> IPv4Network | IPv6Network | str:
    if word == LOCAL:
        return LOCAL
    try:
        return ip_network(word, strict=False)
    except ValueError:
        raise BrokenLine(f'invalid network "{escape(word)}" in allow_nets') from None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


# The fields of a PasswdRow, with the functions that read their values.
_FIELDS: Final[dict[bytes, tuple[str, Callable[[bytes], object]]]] = {
    b"host": ("host", _host),
    b"port": ("port", _port),
    b"user": ("user", _user),
    b"destuser": ("user", _user),
    b"pass": ("backend_password", bytes),
    b"master": ("master", _user),
    b"ssl": ("ssl", bytes),
    b"starttls": ("starttls", bytes),
    b"proxy": ("proxy", _yes),
    b"proxy_maybe": ("proxy", _yes),
    b"nopassword": ("nopassword", _yes),
    b"nologin": ("nologin", _yes),
    b"reason": ("reason", bytes),
    b"allow_nets": ("allow_nets", _networks),
}
_MEANINGLESS: Final = (b"nodelay",)
# Words that are no text of a user database even without a value; `proxy` is the name of a user of Debian.
_SURE: Final = (b"nologin", b"nopassword")
