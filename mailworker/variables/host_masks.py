"""Names of hosts and masks for them, as nginx's hash tables have them (ngx_hash_add_key, ngx_hash_find_combined)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

DOT: Final = len(".")


def mask(key: bytes) -> tuple[int, int] | None:
    """Where the fixed part of ".example.com", "*.example.com" and "www.example.*" is; None for all others."""
    if len(key) > 1 and key.startswith(b"."):
        return DOT, len(key)
    if len(key) > 2 and key.startswith(b"*."):
        return len(b"*."), len(key)
    if len(key) > 2 and key.endswith(b".*"):
        return 0, len(key) - len(b".*")
    return None


def is_host(key: bytes) -> bool:
    """Whether it is a name, or one of the masks that there are."""
    start, end = mask(key) or (0, len(key))
    return b"*" not in key[start:end] and b".." not in key and b"\0" not in key


def suffixes(name: bytes, longest: int) -> Iterator[bytes]:
    """What follows each dot, the longest first, but nothing longer than `longest`."""
    dot = name.find(b".", max(0, len(name) - longest - 1))
    while dot >= 0:
        yield name[dot + 1 :]
        dot = name.find(b".", dot + 1)


def prefixes(name: bytes, longest: int) -> Iterator[bytes]:
    """What precedes each dot, the longest first, but nothing longer than `longest`."""
    dot = name.rfind(b".", 0, longest + 1)
    while dot >= 0:
        yield name[:dot]
        dot = name.rfind(b".", 0, dot)
