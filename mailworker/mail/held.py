"""How many sessions wait because somebody limits or delays them."""

from __future__ import annotations

from typing import Final

SHARE: Final = 10
"""Of all connections of a worker, those that may be held back at once."""


class Held:
    """How many sessions of a worker are held back, of `most`: more would keep others out."""

    __slots__ = ("most", "now")

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = 0

    def __enter__(self) -> None:
        self.now += 1

    def __exit__(self, *_: object) -> None:
        self.now -= 1

    @property
    def full(self) -> bool:
        return self.now >= self.most
