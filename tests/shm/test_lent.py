"""Zones that another program reads where they are: what all kinds of them have in common."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pytest

from mailworker.errors import StartError
from mailworker.shm.lent import Lent, Readable
from mailworker.shm.shared import Writer

PAGE = 4096


class Pages(NamedTuple):
    """A plan."""

    pages: int

    @property
    def size(self) -> int:
        return self.pages * PAGE

    @property
    def words(self) -> tuple[int]:
        return (self.pages,)


class Sheets(Lent[Pages]):
    """A zone of pages; former ones without a letter are not read."""

    kind = "sheets"
    layout = 1
    writer = Writer.MASTER

    @classmethod
    def _planned(cls, words: list[Any]) -> Pages:
        return Pages(*words)

    def _adopt(self, former: Readable[Pages]) -> None:
        if bytes(former.memory[:1]) != b"\0":
            self._formers.append(former)

    def write(self, letter: bytes) -> None:
        self._memory[:1] = letter

    def read(self) -> list[tuple[bytes, bool]]:
        return [(bytes(each.memory[:1]), each.foreign) for each in self._readable]


def sheets(letter: bytes, count: int = 1) -> Sheets:
    made = Sheets("test", Pages(count))
    made.write(letter)
    return made


def test_another_program_reads_what_is_lent_and_sees_what_changes() -> None:
    old, new = sheets(b"a", 2), sheets(b"b")
    assert old.lent == (old.descriptor,)
    new.take_over(b"".join(old.contents()))
    old.write(b"c")
    assert new.read() == [(b"b", False), (b"c", True)]
    assert len(new.lent) == 2


def test_a_later_cycle_reads_the_former_one_and_all_that_it_reads() -> None:
    first, second, third = sheets(b"a"), sheets(b"b"), sheets(b"c")
    second.follow(first)
    third.follow(second)
    assert third.read() == [(b"c", False), (b"b", False), (b"a", False)]
    third.follow(sheets(b"\0"))
    assert len(third.read()) == 3


def test_who_publishes_no_more_lends_nothing_and_reads_on() -> None:
    former, now = sheets(b"a"), sheets(b"b")
    now.follow(former)
    lent = now.lent
    now.stop_publishing()
    assert (now.descriptor, now.lent) == (None, ())
    assert [*now.contents()] == [b"[]"]
    for descriptor in lent:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    former.write(b"c")
    assert now.read() == [(b"b", False), (b"c", False)]


@pytest.mark.parametrize("contents", [b"", b"[]", b"[[1000000, [1]]]", b"[[%d, [3]]]"])
def test_what_cannot_be_read_is_left_alone(contents: bytes) -> None:
    small, zone = sheets(b"a"), sheets(b"b")
    assert small.descriptor is not None
    zone.take_over(contents % small.descriptor if b"%d" in contents else contents)
    assert zone.read() == [(b"b", False)]


def test_without_files_in_memory_nothing_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    zone = sheets(b"a")
    assert (zone.descriptor, zone.lent, zone.read()) == (None, (), [(b"a", False)])


def test_without_memory_there_is_no_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(StartError, match="Cannot allocate memory"):
        sheets(b"a", 1 << 50)
