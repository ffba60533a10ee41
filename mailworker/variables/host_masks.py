"""Host names and masks for them, as in nginx's hash tables (ngx_hash_add_key, ngx_hash_find_combined)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

DOT: Final = len(".")


def mask(key: bytes) -> tuple[int, int] | None:
    """The place of the fixed part in ".example.com", "*.example.com" and "www.example.*"; None for other keys."""
    if len(key) > 1 and key.startswith(b"."):
        return DOT, len(key)
    if len(key) > 2 and key.startswith(b"*."):
        return len(b"*."), len(key)
    if len(key) > 2 and key.endswith(b".*"):
        return 0, len(key) - len(b".*")
    return None


def is_host(key: bytes) -> bool:
    """Whether the key is a name or a valid mask."""
    start, end = mask(key) or (0, len(key))
    return b"*" not in key[start:end] and b".." not in key and b"\0" not in key


def add_key(table: dict[K, V], key: K, value: V) -> bool:
    """Add a key; returns whether it was new, else the table stays as it is."""
    if key in table:
        return False
    table[key] = value
    return True


def suffixes(name: bytes, longest: int) -> Iterator[bytes]:
    """The text after each dot, the longest first, but none longer than `longest`."""
    dot = name.find(b".", max(0, len(name) - longest - 1))
    while dot >= 0:
        yield name[dot + 1 :]
        dot = name.find(b".", dot + 1)


def prefixes(name: bytes, longest: int) -> Iterator[bytes]:
    """The text before each dot, the longest first, but none longer than `longest`."""
    dot = name.rfind(b".", 0, longest + 1)
    while dot >= 0:
        yield name[:dot]
        dot = name.rfind(b".", 0, dot)
