"""The base of all kinds of named memory that processes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import Enum, auto
from typing import ClassVar

from mailworker.errors import StartError


class Writer(Enum):
    """The processes that write a kind of zone. A reader takes what another process could write for hostile input."""

    MASTER = auto()
    """The master alone: no worker can."""
    ROW = auto()
    """Each worker writes the row that it has claimed, and the master the rows that no worker has."""
    ALL = auto()
    """Every worker writes everywhere."""


class Shared(ABC):
    """A part of a zone, made by the master. A reload that wants the same keeps it, and a new binary gets a copy.

    `kind` and `name` tell it from all others; `layout` is a version number that changes when the meaning of its bytes
    does.
    """

    __slots__ = ("name",)

    kind: ClassVar[str]
    layout: ClassVar[int]
    writer: ClassVar[Writer]

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def descriptor(self) -> int | None:
        """The descriptor that the master must keep open; None where there is none."""
        return None

    @abstractmethod
    def contents(self) -> Iterable[bytes | memoryview]:
        """The parts of a copy; none where there is nothing to copy."""

    @property
    def lent(self) -> tuple[int, ...]:
        """Descriptors that a new binary needs beside the copy; it gets the same numbers."""
        return ()

    def follow(self, former: Shared) -> None:
        """Take over from `former`, which this one, of another layout or size, replaces at a reload."""
        self.take_over(b"".join(former.contents()))

    @abstractmethod
    def take_over(self, contents: bytes) -> None:
        """Go on with a copy of the same kind, layout and name; a copy that cannot be used is ignored."""

    def claim(self, row: int) -> None:  # noqa: B027 - most kinds have no rows
        """Let this process alone write `row` from now on. A kind that has fewer rows ignores it."""

    def free(self, row: int) -> None:  # noqa: B027
        """The process that wrote `row` has ended, maybe within a write: the master adds up or drops the row."""

    def stop_publishing(self) -> None:  # noqa: B027
        """Close descriptors that only a master needs: for other processes, and where they are out of use."""


def refuse_another_key(use: str, name: str, key: str, former: str) -> None:
    """Raise StartError where the key of a limit's zone has changed, as nginx refuses such a reload."""
    if former != key:
        raise StartError(f'{use} "{name}" uses the "{key}" key while previously it used the "{former}" key')
