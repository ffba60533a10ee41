"""A row of the session table: the layout of its 128 bytes, and how a reader parses them."""

from __future__ import annotations

import re
import socket
import struct
import sys
from binascii import b2a_base64
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from mailworker.errors import escape
from mailworker.model import UnixAddress
from mailworker.shm.siphash import siphash


class State(IntEnum):
    """The state of a session. A row with another number is invalid."""

    LOGIN = 1
    """The session is not logged in: a handshake, a greeting, commands."""

    AUTH = 2
    """The auth service, or another login source, is asked."""

    BACKEND = 3
    """The session is connecting to the backend and logging in there."""

    RELAY = 4
    """The session is logged in."""

    @property
    def word(self) -> str:
        """The name of the state in output."""
        return "upstream" if self is State.BACKEND else self.name.lower()


UNIX: Final = 0x80
"""A flag of the mark: the backend is a unix socket, and the field of its address has the value of `keep_path`."""

ROW: Final = 128
"""Bytes of a row; native/shm/row.h has the same layout."""

LONGEST_NAME: Final = 40
SHORTENED: Final = 255
"""The most bytes of a complete user name, and the length that marks a longer one, see `keep`."""

LAYOUT: Final = struct.Struct("=IIQQIIIHHHBB12s16s16s40s")
WORDS: Final = struct.Struct("=32I")
SUMMED_FROM: Final = 2
"""The first word that the checksum covers, after number and sum."""

MARK_AT: Final = 42
"""The offset of the byte with the state."""

SEED: Final = 0x6D61696C
"""The start value of checksums, so that a row of zeros is invalid."""

_MAPPED: Final = bytes(10) + b"\xff\xff"
_NONE: Final = bytes(16)
_ZERO: Final = b"\0"
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
# See wire/confidential.py.
_SEPARATORS: Final = re.compile(rb"[\0\1]")
_MOST: Final = 1 << 62
_PART: Final = 16  # bytes of a long name's beginning, and of its end
_HASH: Final = 4  # bytes of a long path's hash; its end follows
_PATH: Final = 12
_NO_KEY: Final = bytes(16)
_STATES: Final = {int(state): state for state in State}


class Fields(NamedTuple):
    """The fields of a row, in this order.

    `number` is odd while the row is being written. Times are in seconds of the monotonic clock; `logged_in` is 0 before
    login. `mark` is the state, and UNIX. Addresses of IPv4 are mapped into IPv6; zeros mean that there is no address.
    If the backend is a unix socket, its path is in place of the address, see `keep_path`.
    """

    number: int
    sum: int
    received: int
    sent: int
    active: int
    logged_in: int
    accepted: int
    server: int
    client_port: int
    backend_port: int
    mark: int
    length: int
    id: bytes
    client: bytes
    backend: bytes
    name: bytes


assert LAYOUT.size == WORDS.size == ROW


class SessionRow(NamedTuple):
    """An open session. Texts are escaped, and numbers are plausible.

    The master ends a session by `worker`, `number` and `id`; logs name it by `id`. `foreign`: it belongs to another
    binary (`USR2`), with another master. `server` is the server's `status_zone` or first `listen`.

    `client` is an address without its port, which is `client_port`; for a client of a unix socket these are "unix:" and
    0. `backend` is an address with its port, None before there is one; for a unix socket it is "unix:" and the path,
    with "..." and the end of a long path, and without a path if an earlier version of mailworker wrote the row.
    `socket` has the 16 bytes that the row keeps of that path, and is empty for other backends. `user` is empty before a
    login; if `shortened`, it is only the beginning and the end. Ages are in seconds: since accept, since login (None
    before it), and since the last activity. `received` are bytes from the client, `sent` those to it; both may be a
    second or a megabyte behind. `name` has the bytes of the row, not escaped.
    """

    worker: int
    number: int
    id: str
    foreign: bool
    state: State
    server: str
    protocol: str
    client: str
    client_port: int
    backend: str | None
    user: str
    shortened: bool
    age: int
    login_age: int | None
    idle: int
    received: int
    sent: int
    name: bytes
    socket: bytes

    def is_of(self, user: bytes) -> bool:
        """Whether it is a session of `user`; a long name is compared completely, by its hash."""
        length, name = keep(user)
        return self.shortened == (length == SHORTENED) and self.name == name

    def is_at(self, path: bytes) -> bool:
        """Whether the backend is the unix socket at this path; a long path is compared completely, by its hash."""
        return bool(path) and self.socket == keep_path(path)


def keep(name: bytes) -> tuple[int, bytes]:
    """The length and the name that a row keeps for a user name.

    A name that is too long is kept as its beginning, its end and a hash. A name with a separator may be a response to
    another mechanism than the client has named, with a secret, so only the part before the separator is kept.
    """
    found = _SEPARATORS.search(name)
    if found is not None:
        name = name[: found.start()] + b"..."
    if len(name) <= LONGEST_NAME:
        return len(name), name
    return SHORTENED, name[:_PART] + name[-_PART:] + blake2b(name, digest_size=LONGEST_NAME - 2 * _PART).digest()


@lru_cache(64)
def keep_path(path: bytes) -> bytes:
    """The 16 bytes that a row keeps for the path of a unix socket.

    A path of up to 12 bytes is kept behind zeros. A longer one is kept as a hash, which is never 0, and its end.
    """
    if len(path) <= _PATH:
        return bytes(_HASH) + path.ljust(_PATH, b"\0")
    hashed = siphash(_NO_KEY, path) & 0xFFFFFFFF or 1
    return hashed.to_bytes(_HASH, sys.byteorder) + path[-_PATH:]


def keep_socket(address: UnixAddress) -> bytes:
    """See `keep_path`."""
    return keep_path(address.path.encode(errors="surrogateescape"))


def checksum(words: Sequence[int]) -> int:
    """The checksum of the words of a row."""
    return (SEED + sum(words[SUMMED_FROM:])) & 0xFFFFFFFF


def parse(
    data: bytes, place: tuple[int, int], servers: Sequence[tuple[str, str]], now: int, *, foreign: bool
) -> SessionRow | None:
    """The session in the bytes of a row; None if there is none, or if the row is invalid.

    `place` is the row's worker and its number. `now` is a time of the monotonic clock.
    """
    if not data[MARK_AT]:
        return None
    fields = Fields._make(LAYOUT.unpack(data))
    received, sent, mark, length, name = fields.received, fields.sent, fields.mark, fields.length, fields.name
    state = _STATES.get(mark & ~UNIX)
    if state is None or fields.sum != checksum(WORDS.unpack(data)) or fields.server >= len(servers):
        return None
    if length == SHORTENED:
        user = f"{escape(name[:_PART])}...{escape(name[_PART : 2 * _PART])}"
    elif length <= LONGEST_NAME:
        name = name[:length]
        user = escape(name)
    else:
        return None
    label, protocol = servers[fields.server]
    return SessionRow(
        *place,
        b2a_base64(fields.id, newline=False).translate(_URL_SAFE).decode(),
        foreign,
        state,
        label,
        protocol,
        _address(fields.client) or "unix:",
        fields.client_port,
        _path(fields.backend) if mark & UNIX else _with_port(_address(fields.backend), fields.backend_port),
        user,
        length == SHORTENED,
        max(now - fields.accepted, 0),
        max(now - fields.logged_in, 0) if fields.logged_in else None,
        max(now - fields.active, 0),
        received if received < _MOST else 0,
        sent if sent < _MOST else 0,
        name,
        fields.backend if mark & UNIX else b"",
    )


def _address(packed: bytes) -> str:
    """The address as text, empty if there is none."""
    if packed == _NONE:
        return ""
    if packed[:12] == _MAPPED:
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def _path(kept: bytes) -> str:
    return f"unix:{'...' if any(kept[:_HASH]) else ''}{escape(kept[_HASH:].rstrip(_ZERO))}"


def _with_port(address: str, port: int) -> str | None:
    if not address:
        return None
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
