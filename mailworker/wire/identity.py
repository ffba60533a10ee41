"""The identity of a client, for backends that trust the proxy.

The names in ID of IMAP, and in XCLIENT of POP3 and ManageSieve, are Dovecot's (imap-proxy.c, pop3-proxy.c); those in
XCLIENT of SMTP are Postfix's and Dovecot's (XCLIENT_README, submission-proxy.c). A value that a client chose is
escaped, or left out, so that it cannot end its field or line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mailworker.errors import Party, ProtocolError
from mailworker.model import Address, InetAddress, unmapped
from mailworker.wire import imap_id

MOST_HOPS: Final = 7
"""The most proxies that a login may pass, with the first one (Dovecot: LOGIN_PROXY_TTL)."""

HOPS: Final = b"x-proxy-ttl"

# Dovecot accepts no other bytes, and in PROXY's AUTHORITY no two dots in a row.
_HOST_NAME = re.compile(rb"(?!.*\.\.)[A-Za-z0-9._:-]{1,255}", re.DOTALL)
_NUMBER = re.compile(rb"[0-9]{1,3}")

_UNAVAILABLE: Final = b"[UNAVAILABLE]"
# Most octets of a value in XCLIENT (XCLIENT_README).
_LONGEST_VALUE: Final = 255


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a session's client.

    `address` is the client's, `local` the one that it connected to; a unix socket's address is not sent. `session` is
    the session's id, `hops` the number of proxies that may follow, `secure` whether the client's connection is
    encrypted, and `server_name` the name that it asked for (SNI), None if that is no valid host name.
    """

    address: Address
    local: Address
    session: bytes
    hops: int
    secure: bool
    server_name: bytes | None


def host_name(name: bytes | None) -> bytes | None:
    """The name that a client asked for, None if it is no valid host name."""
    return name if name is not None and _HOST_NAME.fullmatch(name) else None


def hops_left(client_id: bytes) -> int:
    """The number of proxies that may follow. A client's ID can lower it, but not raise it.

    Raises ProtocolError if it is zero, as the proxies form a loop.
    """
    told = imap_id.by_name(client_id).get(HOPS, b"") if client_id else b""
    left = min(int(told) if _NUMBER.fullmatch(told) else MOST_HOPS, MOST_HOPS) - 1
    if left < 1:
        raise ProtocolError(Party.BACKEND, "client came through too many proxies, they appear to be looping")
    return left


def imap_fields(identity: Identity) -> bytes:
    """The argument of ID."""
    return imap_id.write(tuple(_imap_fields(identity)))


def _imap_fields(identity: Identity) -> Iterable[tuple[bytes, bytes]]:
    yield b"x-session-id", identity.session
    yield from _endpoint(identity.address, b"x-originating-ip", b"x-originating-port")
    yield from _endpoint(identity.local, b"x-connected-ip", b"x-connected-port")
    yield HOPS, b"%d" % identity.hops
    yield b"x-client-transport", _transport(identity)
    if identity.server_name is not None:
        yield b"x-connected-name", identity.server_name


def dovecot_attributes(identity: Identity) -> bytes:
    """The arguments of XCLIENT in POP3 and ManageSieve; empty for a unix socket, as Dovecot demands an address.

    Values are not encoded as in SMTP, and need no encoding.
    """
    if not isinstance(identity.address, InetAddress):
        return b""
    return b" ".join(b"%b=%b" % pair for pair in _dovecot_attributes(identity))


def _dovecot_attributes(identity: Identity) -> Iterable[tuple[bytes, bytes]]:
    yield from _endpoint(identity.address, b"ADDR", b"PORT")
    yield from _endpoint(identity.local, b"DESTADDR", b"DESTPORT")
    yield b"SESSION", identity.session
    yield b"TTL", b"%d" % identity.hops
    yield b"CLIENT-TRANSPORT", _transport(identity)
    if identity.server_name is not None:
        yield b"DESTNAME", identity.server_name


def smtp_attributes(identity: Identity, helo: bytes, *, esmtp: bool) -> Mapping[bytes, bytes]:
    """The attributes of SMTP's XCLIENT besides address, login and name; values are not encoded yet.

    `helo` is the argument of the client's HELO or EHLO, empty without one, and `esmtp` whether it said EHLO.
    """
    address, local = identity.address, identity.local
    return {
        b"PORT": b"%d" % address.port if isinstance(address, InetAddress) else _UNAVAILABLE,
        b"PROTO": b"ESMTP" if esmtp else b"SMTP",
        b"HELO": helo if 0 < len(helo) <= _LONGEST_VALUE else _UNAVAILABLE,
        b"DESTADDR": smtp_address(local),
        b"DESTPORT": b"%d" % local.port if isinstance(local, InetAddress) else _UNAVAILABLE,
        b"SESSION": identity.session,
        b"TTL": b"%d" % identity.hops,
        b"CLIENT-TRANSPORT": _transport(identity),
        b"DESTNAME": identity.server_name or b"",
    }


def smtp_address(address: Address) -> bytes:
    """The address for XCLIENT. Clients of a unix socket have none, as Postfix refuses nginx's "unix:"."""
    if not isinstance(address, InetAddress):
        return _UNAVAILABLE
    host = address.host
    return b"IPV6:" + host.encode() if ":" in host else host.encode()


def _endpoint(address: Address, host: bytes, port: bytes) -> Iterable[tuple[bytes, bytes]]:
    if isinstance(address, InetAddress):
        ip = unmapped(address.host)
        yield host, str(ip).encode() if ip.version == 4 else address.host.encode()
        yield port, b"%d" % address.port


def _transport(identity: Identity) -> bytes:
    return b"TLS" if identity.secure else b"insecure"
