"""Keys of limits that every session knows: four variables; native/core/client.c has them in C."""

from __future__ import annotations

import socket
from typing import Final

from mailworker.variables.prefix import WHOLE, Lengths, packed_prefix

GIVEN: Final = 0
"""The number of a key that the caller has to give; the numbers of KEYS follow."""

KEYS: Final = ("binary_remote_addr", "binary_remote_prefix", "remote_addr", "remote_user")
"""The variables, in the order of their numbers."""


def number_of(name: str | None) -> int:
    """The number of a key that consists of the variable `name`; GIVEN if it is none of KEYS."""
    return 1 + KEYS.index(name) if name in KEYS else GIVEN


USER: Final = number_of("remote_user")
"""The number of `remote_user`, the only variable that is not known at accept."""

UNIX: Final = "unix:"
"""The address of clients of a unix socket."""

_IPV6: Final = 16  # bytes


# What servers cut off a name, or end it at: Cyrus the spaces, PHP's trim() and programs in C the NULs.
_BLANKS: Final = b"\0\t\n\v\f\r "


def user_key(login: bytes) -> bytes:
    """The key of a user: servers that ignore case or spaces take many logins for one user, and those have one key.

    No key begins with NUL, as the keys of entries for trust do.
    """
    return login.strip(_BLANKS).partition(b"\0")[0].rstrip(_BLANKS).lower()


def packed_key(client: str) -> bytes:
    """The bytes of an address; an IPv4 client has one key, also if it comes to an IPv6 socket."""
    return packed_prefix(client, WHOLE)


def text_key(client: str) -> bytes:
    """The text of an address, see `packed_key`, or "unix:"."""
    if ":" not in client or client == UNIX:
        return client.encode()
    packed = packed_key(client)
    return client.encode() if len(packed) == _IPV6 else socket.inet_ntop(socket.AF_INET, packed).encode()


def key(number: int, client: str, login: bytes, lengths: Lengths) -> bytes:
    """The key that one of KEYS gives; empty where there is nothing to count. `lengths` are the lengths of prefixes."""
    if number == USER:
        return user_key(login)
    if client == UNIX or KEYS[number - 1] == "remote_addr":
        return text_key(client)
    return packed_prefix(client, lengths) if KEYS[number - 1] == "binary_remote_prefix" else packed_key(client)
