"""The ways in which a network can cut what a peer sends."""

from __future__ import annotations

from collections.abc import Iterator


def chunkings(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and in two pieces at every place."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for i in range(1, len(data)):
        yield [data[:i], data[i:]]
