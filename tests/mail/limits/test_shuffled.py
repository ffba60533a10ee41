from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailworker.errors import Kicked
from mailworker.event.loop import Loop
from mailworker.event.task import Task, sleep
from mailworker.mail.limits.shuffled import TICK, Shuffled


class Stage:
    """Tasks that are held back; "in any order" is the other way round."""

    def __init__(self) -> None:
        self.done: list[tuple[float, str]] = []
        self.loop = Loop(self._raise)
        self.loop.now = self.loop.clock()
        self.shuffled = Shuffled(self.loop, self._turn)

    def _raise(self, bug: Exception) -> None:
        raise bug

    def _turn(self, tasks: list[Task]) -> None:
        tasks.reverse()

    def hold(self, name: str, until: float) -> Task:
        async def wait() -> None:
            try:
                await self.shuffled.hold(until)
            except Kicked:
                await sleep(9 * TICK)
            self.done.append((self.loop.now, name))

        task = Task(self.loop, wait())
        task.resume()
        return task

    def run(self, seconds: float) -> None:
        async def stop() -> None:
            await sleep(seconds)
            self.loop.stop()

        Task(self.loop, stop()).resume()
        self.loop.run()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.loop.close()


def test_refusals_of_one_release_come_in_any_order_and_none_too_early(stage: Stage) -> None:
    now = stage.loop.now
    first = (now // TICK + 1) * TICK
    for name, until in (("a", first - 0.2), ("b", first - 0.01), ("c", first), ("d", first + 0.01), ("e", now - 9)):
        stage.hold(name, until)
    stage.run(2.5 * TICK)
    assert "".join(name for _, name in stage.done) == "ecbad"
    for moment, name in stage.done:
        assert first + (TICK if name == "d" else 0) <= moment < first + (TICK if name == "d" else 0) + 0.2


def test_a_session_that_is_kicked_meanwhile_is_not_released_as_well(stage: Stage) -> None:
    stage.hold("other", stage.loop.now)
    stage.hold("kicked", stage.loop.now).interrupt(Kicked("why"))
    stage.run(1.1 * TICK)
    assert [name for _, name in stage.done] == ["other"]
