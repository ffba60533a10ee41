"""The base of all kinds of named memory that processes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import Enum, auto
from typing import ClassVar

from mailworker.errors import StartError


class Writer(Enum):
    """The processes that write to a kind of zone. What another process could write is hostile input."""

    MASTER = auto()
    """Only the master can write."""
    ROW = auto()
    """Each worker writes the row that it has claimed, and the master writes the others."""
    ALL = auto()
    """All workers write everywhere."""


class Shared(ABC):
    """A part of a zone, which the master makes. It is kept at a reload, and a new binary gets a copy.

    `kind` and `name` identify it; `layout` is a version number that changes with the meaning of its bytes.
    """

    __slots__ = ("name",)

    kind: ClassVar[str]
    layout: ClassVar[int]
    writer: ClassVar[Writer]

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def descriptor(self) -> int | None:
        """The descriptor that the master must keep open, None if there is none."""
        return None

    @abstractmethod
    def contents(self) -> Iterable[bytes | memoryview]:
        """The parts of a copy; none if there is nothing to copy."""

    @property
    def lent(self) -> tuple[int, ...]:
        """Descriptors that a new binary needs in addition to the copy, with the same numbers."""
        return ()

    def follow(self, former: Shared) -> None:
        """Use the content of `former`, which this one replaces at a reload; its size may be another."""
        self.take_over(b"".join(former.contents()))

    @abstractmethod
    def take_over(self, contents: bytes) -> None:
        """Use a copy of the same kind, layout and name; an invalid copy is ignored."""

    def claim(self, row: int) -> None:  # noqa: B027 - most kinds have no rows
        """Claim `row`, which this process alone writes from now on. It may not exist in this kind."""

    def free(self, row: int) -> None:  # noqa: B027
        """Add up or clear `row`, as its process has ended, perhaps during a write."""

    def stop_publishing(self) -> None:  # noqa: B027
        """Close the descriptors that only the master of a cycle in use needs."""


def refuse_another_key(use: str, name: str, key: str, former: str) -> None:
    """Raise StartError if the key of a limit's zone has changed, as nginx refuses such a reload."""
    if former != key:
        raise StartError(f'{use} "{name}" uses the "{key}" key while previously it used the "{former}" key')
