"""What processes share by name, whatever kind it is of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import Enum, auto
from typing import ClassVar


class Writer(Enum):
    """The processes that write a kind of zone. A reader takes what another process could write for hostile input."""

    MASTER = auto()
    """The master alone: no worker can."""
    ROW = auto()
    """Each worker writes the row that it has claimed, and the master those that are nobody's."""
    ALL = auto()
    """Every worker writes everywhere."""


class Shared(ABC):
    """Made by the master. It goes on under its name when a reload wants it again, and in a new binary as a copy.

    `kind` and `name` tell it from all others; `layout` is a number that becomes another one with the meaning of its
    bytes.
    """

    __slots__ = ("name",)

    kind: ClassVar[str]
    layout: ClassVar[int]
    writer: ClassVar[Writer]

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def descriptor(self) -> int | None:
        """What the master must keep open; None where there is no such thing."""
        return None

    @abstractmethod
    def contents(self) -> Iterable[bytes | memoryview]:
        """The parts of a copy; none where there is nothing to go on with."""

    @property
    def lent(self) -> tuple[int, ...]:
        """Descriptors that a new binary needs beside the copy; it gets the same numbers."""
        return ()

    def follow(self, former: Shared) -> None:
        """Go on where one of the same kind and name ends, which another layout or size has replaced by a reload."""
        self.take_over(b"".join(former.contents()))

    @abstractmethod
    def take_over(self, contents: bytes) -> None:
        """Go on with a copy of the same kind, layout and name; one that cannot be used is left alone."""

    def claim(self, row: int) -> None:  # noqa: B027 - most kinds have no rows
        """From now on `row` is written by this process, and by no other. A kind that has not so many leaves it out."""

    def free(self, row: int) -> None:  # noqa: B027
        """The process that wrote `row` has ended, be it halfway: the master folds or drops what is there."""

    def stop_publishing(self) -> None:  # noqa: B027
        """Give back what only a master writes by: for processes that are none, or have no use for it any more."""
