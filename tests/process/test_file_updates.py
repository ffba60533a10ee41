from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from mailworker.process.file_updates import FileUpdates
from mailworker.process.link import PAIRS, USERS, FileUpdate


class Child:
    """Has room for so many items; `received` is as Subscriber has it."""

    def __init__(self, room: int) -> None:
        self.got: list[FileUpdate] = []
        self.received = 0
        self.room = room

    def send(self, found: FileUpdate) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.got.append(found)
        return True


@pytest.fixture
def children() -> list[Child]:
    return []


@pytest.fixture
def later() -> list[Callable[[], None]]:
    """What is to be done later."""
    return []


@pytest.fixture
def updates(children: list[Child], later: list[Callable[[], None]]) -> Iterator[FileUpdates]:
    updates = FileUpdates(children, lambda seconds, action: later.append(action))
    yield updates
    updates.close()


def found(kind: bytes, path: str) -> FileUpdate:
    return FileUpdate(kind, path, os.open(os.devnull, os.O_RDONLY))


def is_open(item: FileUpdate) -> bool:
    try:
        os.fstat(item.descriptor)
    except OSError:
        return False
    return True


def test_each_hears_all_in_order_though_another_takes_nothing(
    updates: FileUpdates, children: list[Child], later: list[Callable[[], None]]
) -> None:
    quick, slow = Child(9), Child(0)
    children += quick, slow
    items = [found(PAIRS, str(number)) for number in range(5)]
    for item in items:
        updates.add(item)
    assert quick.got == items
    assert all(map(is_open, items))
    assert len(later) == 1

    slow.room = 2
    later.pop()()
    assert list(map(is_open, items)) == [False, False, True, True, True]
    slow.room = 9
    later.pop()()
    assert quick.got == slow.got == items
    assert not any(map(is_open, items))
    assert (quick.received, slow.received, updates.end, later) == (5, 5, 5, [])


def test_of_a_file_of_users_only_the_newest_content_is_kept(
    updates: FileUpdates, children: list[Child], later: list[Callable[[], None]]
) -> None:
    """Each content has a descriptor: a process that takes nothing for hours would have used up all of them."""
    child = Child(0)
    children.append(child)
    items = [found(PAIRS, "a"), found(USERS, "a"), found(USERS, "b"), found(USERS, "a"), found(USERS, "a")]
    for item in items:
        updates.add(item)
    assert list(map(is_open, items)) == [True, False, True, False, True]
    child.room = 9
    later.pop()()
    assert child.got == [items[0], items[2], items[4]]
    assert child.received == updates.end


def test_nothing_is_kept_where_nobody_hears(updates: FileUpdates) -> None:
    item = found(USERS, "a")
    updates.add(item)
    assert not is_open(item)


def test_who_ends_without_having_heard_all_is_not_waited_for(
    updates: FileUpdates, children: list[Child], later: list[Callable[[], None]]
) -> None:
    children.append(Child(0))
    item = found(USERS, "a")
    updates.add(item)
    children.clear()
    later.pop()()
    assert not is_open(item)
    assert not later


def test_a_child_closes_what_it_has_inherited(updates: FileUpdates, children: list[Child]) -> None:
    children.append(Child(0))
    item = found(USERS, "a")
    updates.add(item)
    updates.close()
    assert not is_open(item)
    updates.close()
