"""Dovecot's passwd-file, a line of which is `user:password:uid:gid:gecos:home:shell:extra fields`.

Apache's htpasswd is the first two fields of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from mailworker.errors import MailworkerError, escape
from mailworker.model import is_host_name

_EXTRA: Final = 7  # the field's number
_PORT = re.compile(rb"[1-9][0-9]{0,4}")

LOCAL: Final = "local"
"""In `allow_nets`: clients that come by a unix socket."""

# What Dovecot keeps somebody out by, or asks of the connection with the backend, and what is not done here. To leave
# it out would let in, or send a password to, whom Dovecot would not.
_UNKNOWN_HERE: Final = frozenset(
    b"allow_real_nets check_client_fp delay_until domain fail forward hostip master noauthenticate proxy_mech "
    b"proxy_not_trusted source_ip ssl starttls username".split()
)


class BrokenLine(MailworkerError):
    """A line that says nothing that could be used; the text has no part of a password in it."""


@dataclass(slots=True)
class PasswdRow:
    """One user. `password` is as it stands in the file, empty where there is none.

    `user` and `backend_password` are what the backend is told, None for what the client has sent. `host` None leaves
    the backend to the configuration, `port` None to the protocol. `nologin` is what is said to whom it keeps out,
    None for nobody. `allow_nets` None lets all addresses in.
    """

    name: bytes
    password: bytes
    host: str | None = None
    port: int | None = None
    user: bytes | None = None
    backend_password: bytes | None = None
    proxy: bool = False
    nopassword: bool = False
    nologin: bool = False
    reason: bytes | None = None
    allow_nets: tuple[IPv4Network | IPv6Network | str, ...] | None = None


def parse_line(line: bytes) -> PasswdRow | None:
    """What a line, without its end, says; None for one that is empty or a comment. Raises BrokenLine."""
    line = line.removesuffix(b"\r")
    if not line or line[0] in b"#:":
        return None
    fields = line.split(b":", _EXTRA)
    row = PasswdRow(fields[0], fields[1] if len(fields) > 1 else b"")
    if len(fields) > _EXTRA:
        for word in fields[_EXTRA].split():
            key, separator, value = word.partition(b"=")
            _take(row, key, value, given=bool(separator))
    if row.port is not None and row.host is None:
        raise BrokenLine('"port" without "host"')
    if row.nopassword and row.password:
        raise BrokenLine('both a password and "nopassword"')
    return row


def _take(row: PasswdRow, key: bytes, value: bytes, *, given: bool) -> None:
    read = _FIELDS.get(key)
    if read is not None:
        read(row, value)
        return
    name, suffix, _ = key.partition(b":")
    if name in _UNKNOWN_HERE or (suffix and name in _FIELDS):
        raise BrokenLine(f'extra field "{escape(key)}" is not supported')
    if suffix or not given:  # it may be a part of a password, and is not to be shown
        raise BrokenLine("unknown word among the extra fields")


def _host(row: PasswdRow, value: bytes) -> None:
    text = value.decode("ascii", "replace")
    if not (_is_address(text) or is_host_name(value)):
        raise BrokenLine(f'invalid host "{escape(value)}"')
    row.host = text.lower()


def _port(row: PasswdRow, value: bytes) -> None:
    if not _PORT.fullmatch(value) or int(value) > 65535:
        raise BrokenLine(f'invalid port "{escape(value)}"')
    row.port = int(value)


def _user(row: PasswdRow, value: bytes) -> None:
    if not value:
        raise BrokenLine("empty user")
    row.user = value


def _pass(row: PasswdRow, value: bytes) -> None:
    row.backend_password = value


def _proxy(row: PasswdRow, _value: bytes) -> None:
    """Whatever its value is, as in Dovecot."""
    row.proxy = True


def _nopassword(row: PasswdRow, _value: bytes) -> None:
    row.nopassword = True


def _nologin(row: PasswdRow, _value: bytes) -> None:
    row.nologin = True


def _reason(row: PasswdRow, value: bytes) -> None:
    row.reason = value


def _allow_nets(row: PasswdRow, value: bytes) -> None:
    row.allow_nets = tuple(_network(word) for word in value.decode("ascii", "replace").split(","))


def _network(word: str) -> IPv4Network | IPv6Network | str:
    if word == LOCAL:
        return LOCAL
    try:
        return ip_network(word, strict=False)
    except ValueError:
        raise BrokenLine(f'invalid network "{escape(word)}" in allow_nets') from None


def _is_address(text: str) -> bool:
    for kind in (IPv4Address, IPv6Address):
        try:
            kind(text)
        except AddressValueError:
            continue
        return "%" not in text
    return False


def _ignored(_row: PasswdRow, _value: bytes) -> None:
    """There is nothing to do, or not here."""


_FIELDS: Final[dict[bytes, Callable[[PasswdRow, bytes], None]]] = {
    b"host": _host,
    b"port": _port,
    b"user": _user,
    b"destuser": _user,
    b"pass": _pass,
    b"proxy": _proxy,
    b"proxy_maybe": _proxy,
    b"nopassword": _nopassword,
    b"nologin": _nologin,
    b"reason": _reason,
    b"allow_nets": _allow_nets,
    b"nodelay": _ignored,
}
