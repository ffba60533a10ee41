"""The number of sessions that wait because of a limit or a delay."""

from __future__ import annotations

from typing import Final

SHARE: Final = 10
"""One in this many of a worker's connections may be held back at the same time."""


class Held:
    """The number of a worker's sessions that are held back, at most `most`, so that others still get in."""

    __slots__ = ("count", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1

    @property
    def full(self) -> bool:
        return self.count >= self.most
