"""The keys of limits that need no variables of a session; native/shm/client.c has them in C."""

from __future__ import annotations

import socket
from typing import Final
from unicodedata import category, combining, normalize

from mailworker.native.core import accelerator
from mailworker.variables.prefix import WHOLE, Lengths, packed_prefix

GIVEN: Final = 0
"""The number of a key that the caller must give; the numbers of KEYS follow."""

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


_LONGEST: Final = 320  # a local part, "@" and a domain (RFC 5321 section 4.5.3.1)

_FORMAT: Final = "Cf"  # invisible characters, such as the soft hyphen

# Bytes that servers remove from a name: Cyrus the spaces, PHP's trim() all of these; C programs end it at a NUL.
_BLANKS: Final = b"\0\t\n\v\f\r "


def user_key(login: bytes) -> bytes:
    """The key of a user: the same for all logins that some servers take for one user.

    They may ignore case, spaces and accents. No key begins with NUL, as the keys of entries for trust do.
    """
    name = login.strip(_BLANKS).partition(b"\0")[0]
    return (name if name.isascii() else _without_accents(name)).strip(_BLANKS).lower()


if accelerator is not None:
    accelerator.use_user_key(user_key)  # for names that are not visible ASCII in lower case


def _without_accents(name: bytes) -> bytes:
    """The base letters of a name, as SQL collations compare them (Unicode Technical Standard 10).

    A name that is not UTF-8 is read as Latin-1. A name that is longer than a mailbox may be keeps its letters.
    """
    try:
        text = _bases(name.decode())
    except UnicodeDecodeError:
        text = _bases(name.decode("latin-1"))
    if len(text) <= _LONGEST:  # a row of marks takes quadratic time, and some characters expand to eighteen
        text = _bases(normalize("NFKD", text).casefold())
    return text.encode()


def _bases(text: str) -> str:
    return "".join(each for each in text if not combining(each) and category(each) != _FORMAT)


def packed_key(client: str) -> bytes:
    """The bytes of an address; an IPv4 client has the same key on an IPv6 socket."""
    return packed_prefix(client, WHOLE)


def text_key(client: str) -> bytes:
    """The text of an address, see `packed_key`, or "unix:"."""
    if ":" not in client or client == UNIX:
        return client.encode()
    packed = packed_key(client)
    return client.encode() if len(packed) == _IPV6 else socket.inet_ntop(socket.AF_INET, packed).encode()


def key(number: int, client: str, login: bytes, lengths: Lengths) -> bytes:
    """The key with this number, empty if there is none. `lengths` are the lengths of prefixes."""
    if number == USER:
        return user_key(login)
    if client == UNIX or KEYS[number - 1] == "remote_addr":
        return text_key(client)
    return packed_prefix(client, lengths) if KEYS[number - 1] == "binary_remote_prefix" else packed_key(client)
