"""Networks of clients whose attempts to log in are not counted, as Python and native/shm/exempt.c search them.

A network is its first address and its length in bits; (b"", 0) is for unix sockets.
"""

from __future__ import annotations

from collections.abc import Iterable


def by_shift(networks: Iterable[tuple[bytes, int]]) -> dict[int, list[tuple[int, set[int]]]]:
    """Networks by address size and prefix length, so that a look-up takes one step for each length."""
    found: dict[int, dict[int, set[int]]] = {4: {}, 16: {}}
    for packed, length in networks:
        if packed:
            shift = 8 * len(packed) - length
            found[len(packed)].setdefault(shift, set()).add(int.from_bytes(packed, "big") >> shift)
    return {size: list(shifts.items()) for size, shifts in found.items()}


def in_order(networks: Iterable[tuple[bytes, int]]) -> bytes:
    """Networks for C, one after the other: for each the size of its address, this, and the bits of both that count.

    They are sorted, and those inside of others are left out.
    """
    found: list[tuple[bytes, int]] = []
    for packed, length in sorted((bytes((len(packed),)) + packed.ljust(16, b"\0"), 8 + n) for packed, n in networks):
        last, bits = found[-1] if found else (b"", 0)
        shift = 8 * len(packed) - bits
        if not found or int.from_bytes(packed, "big") >> shift != int.from_bytes(last, "big") >> shift:
            found.append((packed, length))
    return b"".join(packed + bytes((length,)) for packed, length in found)
