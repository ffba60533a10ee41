from __future__ import annotations

from collections.abc import Callable

from mailworker.process.retry import Retry


def test_what_fails_is_repeated_later_and_later_once_at_a_time() -> None:
    """Each new demand began a series of its own, so a process that had no room was asked ever more often."""
    pauses, due, room = list[float](), list[Callable[[], None]](), [False]

    def after(seconds: float, action: Callable[[], None]) -> None:
        pauses.append(seconds)
        due.append(action)

    retry = Retry(after, lambda: room[0])
    for _ in range(3):
        retry.now()
    assert len(due) == 1
    for _ in range(6):
        due.pop()()
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]

    room[0] = True
    due.pop()()
    assert not due
    room[0] = False
    retry.now()
    assert pauses[-1] == 0.05


def test_what_there_is_no_memory_for_is_repeated() -> None:
    due, tries = list[Callable[[], None]](), list[int]()

    def attempt() -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise MemoryError
        return True

    Retry(lambda _seconds, action: due.append(action), attempt).now()
    due.pop()()
    assert (len(tries), due) == (2, [])
