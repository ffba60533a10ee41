"""A row of the session table: where everything is in its 160 bytes, and what a reader makes of them."""

from __future__ import annotations

import re
import socket
import struct
from binascii import b2a_base64
from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from mailworker.errors import escape


class State(IntEnum):
    """What a session is at. Somebody who has written another number has not written a row."""

    LOGIN = 1
    """It is not logged in: a handshake, a greeting, commands."""

    AUTH = 2
    """The source of logins is asked."""

    BACKEND = 3
    """The backend is connected to, and logged in at."""

    RELAY = 4
    """It is logged in."""

    @property
    def word(self) -> str:
        """What people read."""
        return "upstream" if self is State.BACKEND else self.name.lower()


UNIX: Final = 0x80
"""Beside a state: the backend is a unix socket."""

ROW: Final = 160
"""Bytes; native/core/rows.c has the same layout."""

LONGEST_NAME: Final = 40
SHORTENED: Final = 255
"""Bytes of a login's name, and what stands for the length of a longer one, see `keep`."""

KEYS: Final = 4
"""Words of 64 bits that `limit_conn` may keep in a row; 0 is none."""

LAYOUT: Final = struct.Struct("=IIQQIIIHHHBB12s16s16s4Q40s")
WORDS: Final = struct.Struct("=40I")
SUMMED_FROM: Final = 2
"""The word behind number and sum."""

MARK_AT: Final = 42
"""The byte of the state."""

SEED: Final = 0x6D61696C
"""What a sum begins with, so that zeros are no row."""

_MAPPED: Final = bytes(10) + b"\xff\xff"
_NONE: Final = bytes(16)
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
# See wire/confidential.py.
_SEPARATORS: Final = re.compile(rb"[\0\1]")
_MOST: Final = 1 << 62
_PART: Final = 16  # bytes of a long name's beginning, and of its end
_STATES: Final = {int(state): state for state in State}


class Fields(NamedTuple):
    """What stands in a row, in this order.

    `number` is odd while the row is being written. Times are in seconds of the monotonic clock; `logged_in` 0 is not.
    `mark` is the state, and UNIX. Addresses of IPv4 are mapped into IPv6, and zeros where there is none.
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
    key0: int
    key1: int
    key2: int
    key3: int
    name: bytes


assert LAYOUT.size == WORDS.size == ROW


class SessionRow(NamedTuple):
    """A session that lives. Text is escaped and can be shown; no number is one that cannot be.

    `worker`, `number` and `id` are what the master ends it by; `id` is what logs call it. `foreign` ones belong to
    another program (`USR2`), whose master is not ours. `server` is the server's `status_zone` or first `listen`.

    `client` is an address without `client_port`, "unix:" with 0 for a client of a unix socket; `backend` is an address
    with its port, None before there is one. `user` is empty before a login; one that is `shortened` is not whole.
    Ages are in seconds: since it was accepted, was logged in (None: is not), and since something happened. `received`
    are bytes from the client, `sent` those to it: they lag up to a second, or a megabyte, behind. `name` alone is raw.
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
    keys: tuple[int, ...]

    def is_of(self, user: bytes) -> bool:
        """Whether it is that user's, told by the whole name however long."""
        length, name = keep(user)
        return self.shortened == (length == SHORTENED) and self.name == name


def keep(name: bytes) -> tuple[int, bytes]:
    """What a row holds of a login's name, and what it says of the length.

    One that is too long has its beginning and end there, and what tells it from others. One with a separator is a
    response to another mechanism than the client has named, in which a secret may follow: all up to it is kept.
    """
    found = _SEPARATORS.search(name)
    if found is not None:
        name = name[: found.start()] + b"..."
    if len(name) <= LONGEST_NAME:
        return len(name), name
    return SHORTENED, name[:_PART] + name[-_PART:] + blake2b(name, digest_size=LONGEST_NAME - 2 * _PART).digest()


def checksum(words: Sequence[int]) -> int:
    """Of the words of a row."""
    return (SEED + sum(words[SUMMED_FROM:])) & 0xFFFFFFFF


def parse(
    data: bytes, place: tuple[int, int], servers: Sequence[tuple[str, str]], now: int, *, foreign: bool
) -> SessionRow | None:
    """The session in a row that was read as a whole; None where there is none, or where it can be no row.

    `place` is whose row it is, and which. `now` is the monotonic clock's time.
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
        "unix:" if mark & UNIX else _with_port(_address(fields.backend), fields.backend_port),
        user,
        length == SHORTENED,
        max(now - fields.accepted, 0),
        max(now - fields.logged_in, 0) if fields.logged_in else None,
        max(now - fields.active, 0),
        received if received < _MOST else 0,
        sent if sent < _MOST else 0,
        name,
        (fields.key0, fields.key1, fields.key2, fields.key3),
    )


def _address(packed: bytes) -> str:
    """Empty where there is none."""
    if packed == _NONE:
        return ""
    if packed[:12] == _MAPPED:
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def _with_port(address: str, port: int) -> str | None:
    if not address:
        return None
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
