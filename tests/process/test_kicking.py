from __future__ import annotations

from collections.abc import Callable

import pytest

from mailworker.process import kicking as module
from mailworker.process.kicking import Chosen, Kicking
from mailworker.process.link import MOST_KICKED, Kick


class Clock:
    """Calls what is due when the time is skipped to it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, action))

    def skip(self, seconds: float) -> None:
        end = self.now + seconds + 1e-9
        while self.due and min(self.due, key=lambda each: each[0])[0] <= end:
            each = min(self.due, key=lambda each: each[0])
            self.due.remove(each)
            self.now, action = each
            action()
        self.now = end


class Workers:
    """Take messages, unless one has no room."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Kick]] = []
        self.full: set[int] = set()

    def send(self, worker: int, kick: Kick) -> bool:
        if worker in self.full:
            return False
        self.sent.append((worker, kick))
        return True

    @property
    def sessions(self) -> list[tuple[int, int]]:
        return [(worker, row) for worker, kick in self.sent for row, _ in kick.sessions]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def kicking(workers: Workers, clock: Clock) -> Kicking:
    return Kicking(workers.send, clock.after)


def chosen(count: int, worker: int = 0) -> list[Chosen]:
    return [Chosen(worker, number, f"{number:016}") for number in range(count)]


def test_each_worker_hears_of_its_own_sessions(kicking: Kicking, workers: Workers, clock: Clock) -> None:
    kicking.kick([*chosen(3, worker=2), *chosen(2, worker=5)], "why")
    assert not clock.due
    assert [(worker, len(kick.sessions)) for worker, kick in workers.sent] == [(2, 3), (5, 2)]
    assert {kick.why for _, kick in workers.sent} == {"why"}


def test_no_message_ends_more_than_a_round_may(kicking: Kicking, workers: Workers) -> None:
    kicking.kick(chosen(1000), "why")
    assert max(len(kick.sessions) for _, kick in workers.sent) == MOST_KICKED
    assert len(workers.sessions) == 1000


def test_a_worker_without_room_is_asked_again(kicking: Kicking, workers: Workers, clock: Clock) -> None:
    workers.full.add(1)
    kicking.kick([*chosen(5, worker=1), *chosen(5, worker=2)], "why")
    clock.skip(1.0)
    assert workers.sessions == [(2, number) for number in range(5)]
    assert kicking.waiting == 5
    workers.full.clear()
    clock.skip(1.0)
    assert sorted(workers.sessions) == [(worker, number) for worker in (1, 2) for number in range(5)]
    assert kicking.waiting == 0


def test_only_so_many_wait(kicking: Kicking, workers: Workers, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 50)
    workers.full.add(0)
    assert kicking.kick(chosen(49), "why")
    assert not kicking.kick(chosen(2), "why")
    assert kicking.kick(chosen(1), "why")
    assert kicking.kick([], "why")
    workers.full.clear()
    clock.skip(0.3)
    assert kicking.waiting == 0
    assert kicking.kick(chosen(50), "why")


def test_a_message_tells_what_it_was_told() -> None:
    kick = Kick(((0, "AAECAwQFBgcICQoL"), (7, "-_-_")), 'kicked by uid 0: "x" \\x00')
    assert Kick.of(kick.message) == kick
