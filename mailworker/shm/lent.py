"""Zones that a new binary reads in place, by descriptors, as processes of the old binary still write to them."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from mailworker.shm.memory_file import MemoryFile, borrowed_memory, writable_memory
from mailworker.shm.shared import Shared


class Plan(Protocol):
    """The layout of a memory."""

    @property
    def size(self) -> int:
        """The size in bytes."""

    @property
    def words(self) -> Iterable[Any]:
        """The values from which another binary makes the plan; they are sent as JSON."""


PlanT = TypeVar("PlanT", bound=Plan)


@dataclass(frozen=True, slots=True)
class Readable(Generic[PlanT]):
    """Memory that is read; without a `file` it cannot be lent. `foreign`: another binary's processes write to it."""

    plan: PlanT
    memory: Any
    file: MemoryFile | None
    foreign: bool

    def copy(self) -> Readable[PlanT]:
        """The same memory, with a new descriptor for the file, if there is one."""
        return self if self.file is None else replace(self, file=self.file.copy())


class Lent(Shared, Generic[PlanT]):
    """A zone with memory of its own, which also reads that of former zones: of former cycles, and of another binary.

    If the system has no memfd, nothing is lent.
    """

    __slots__ = ("_file", "_formers", "_memory", "_plan")

    def __init__(self, name: str, plan: PlanT) -> None:
        """Raises StartError if the system has no memory."""
        super().__init__(name)
        self._plan = plan
        self._formers: list[Readable[PlanT]] = []
        self._memory, self._file = writable_memory(f"{self.kind} {name}", plan.size)

    @classmethod
    @abstractmethod
    def _planned(cls, words: list[Any]) -> PlanT:
        """The plan with these words, which were sent as JSON."""

    @abstractmethod
    def _adopt(self, former: Readable[PlanT]) -> None:
        """Read `former` as well, if it is in use."""

    @classmethod
    def _lends(cls, former: Readable[PlanT]) -> bool:
        """Whether another binary should read `former` as well."""
        return True

    @property
    def descriptor(self) -> int | None:
        """See Shared."""
        return None if self._file is None else self._file.descriptor

    @property
    def lent(self) -> tuple[int, ...]:
        """See Shared."""
        return tuple(file.descriptor for _, file in self._lendable)

    @property
    def _lendable(self) -> Iterable[tuple[PlanT, MemoryFile]]:
        own, *formers = self._readable
        for each in (own, *filter(self._lends, formers)):
            if each.file is not None:
                yield each.plan, each.file

    @property
    def _readable(self) -> tuple[Readable[PlanT], ...]:
        return (Readable(self._plan, self._memory, self._file, foreign=False), *self._formers)

    def follow(self, former: Shared) -> None:
        """See Shared."""
        assert isinstance(former, type(self))
        for each in former._readable:
            self._adopt(each.copy())

    def contents(self) -> Iterable[bytes]:
        """See Shared: the descriptors and plans of the memories that are lent."""
        lent = [(file.descriptor, [*plan.words]) for plan, file in self._lendable]
        return (json.dumps(lent).encode(),)

    def take_over(self, contents: bytes) -> None:
        """See Shared. The copy comes from the old master; the memories that it lends are written by its workers."""
        for descriptor, words in json.loads(contents or b"[]"):
            plan = self._planned(words)
            borrowed = borrowed_memory(descriptor, plan.size)
            if borrowed is not None:
                self._adopt(Readable(plan, *borrowed, foreign=True))

    def stop_publishing(self) -> None:
        """See Shared. The memories stay mapped and can still be read."""
        for each in self._readable:
            if each.file is not None:
                each.file.close()
        self._file = None
        self._formers = [replace(each, file=None) for each in self._formers]
