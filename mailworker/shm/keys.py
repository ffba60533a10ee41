"""By what clients are counted that every session knows: four variables, which native/core/client.c knows as well."""

from __future__ import annotations

import socket
from typing import Final

from mailworker.variables.prefix import Lengths, packed_prefix

GIVEN: Final = 0
"""The number of a key that whoever counts has to give; those of KEYS have the numbers behind it."""

KEYS: Final = ("binary_remote_addr", "binary_remote_prefix", "remote_addr", "remote_user")
"""Variables, in the order of their numbers."""

USER: Final = 1 + KEYS.index("remote_user")
"""The number of the only one that is not known at accept."""

UNIX: Final = "unix:"
"""The address of clients that have none."""


def key(number: int, client: str, login: bytes, lengths: Lengths) -> bytes:
    """The value of one of KEYS; nothing where it is not counted. `lengths` are those of prefixes."""
    if number == USER:
        return login
    if client == UNIX or KEYS[number - 1] == "remote_addr":
        return client.encode()
    if KEYS[number - 1] == "binary_remote_prefix":
        return packed_prefix(client, lengths)
    return socket.inet_pton(socket.AF_INET6 if ":" in client else socket.AF_INET, client)
