"""Keys of limits that every session knows: four variables; native/core/client.c has them in C."""

from __future__ import annotations

import socket
from typing import Final

from mailworker.variables.prefix import Lengths, packed_prefix

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


def key(number: int, client: str, login: bytes, lengths: Lengths) -> bytes:
    """The value of one of KEYS; empty where there is nothing to count. `lengths` are the lengths of prefixes."""
    if number == USER:
        return login
    if client == UNIX or KEYS[number - 1] == "remote_addr":
        return client.encode()
    if KEYS[number - 1] == "binary_remote_prefix":
        return packed_prefix(client, lengths)
    return socket.inet_pton(socket.AF_INET6 if ":" in client else socket.AF_INET, client)
