"""Questions that are shared by all who ask them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from mailworker.errors import HostNotFound, NotResolved
from mailworker.event.connections import Connections
from mailworker.event.lookup import Lookup
from mailworker.event.task import Task, sleep
from tests.support.resolver import ResolverBench

Outcomes = list[tuple[str, object]]


async def wait_for_result(name: str, lookup: Lookup, deadline: float, outcomes: Outcomes) -> None:
    try:
        outcomes.append((name, await lookup.result(deadline)))
    except NotResolved as error:
        outcomes.append((name, error.code))


def outcomes_of(work: Callable[[Lookup], Coroutine[Any, None, None]], **patience: float) -> Outcomes:
    """What each of several gets who wait for a lookup, by their patience in seconds, in the order in which they do."""
    outcomes: Outcomes = []

    async def run(connections: Connections) -> Outcomes:
        loop, lookup = connections.loop, Lookup()
        lookup.begin(loop, work(lookup))
        for name, seconds in patience.items():
            Task(loop, wait_for_result(name, lookup, loop.now + seconds, outcomes)).resume()
        while len(outcomes) < len(patience):
            await sleep(0.01)
        return outcomes

    return ResolverBench().run(run)


def after(seconds: float, outcome: tuple[bytes, ...] | NotResolved) -> Callable[[Lookup], Coroutine[Any, None, None]]:
    async def work(lookup: Lookup) -> None:
        await sleep(seconds)
        lookup.end(outcome)

    return work


def test_all_who_wait_get_what_is_found() -> None:
    assert outcomes_of(after(0.01, (b"a",)), first=9.0, second=9.0) == [("first", (b"a",)), ("second", (b"a",))]


def test_all_who_wait_get_what_went_wrong() -> None:
    assert outcomes_of(after(0.01, HostNotFound()), first=9.0, second=9.0) == [("first", 3), ("second", 3)]


def test_each_has_time_of_its_own() -> None:
    """Who came first may give up long before the last."""
    assert outcomes_of(after(0.3, (b"a",)), early=0.05, late=9.0) == [("early", 110), ("late", (b"a",))]


def test_what_nobody_waits_for_ends() -> None:
    ended = []

    async def work(lookup: Lookup) -> None:
        try:
            await sleep(9.0)
        finally:
            ended.append("closed")

    assert outcomes_of(work, one=0.05, other=0.1) == [("one", 110), ("other", 110)]
    assert ended == ["closed"]


def test_a_result_that_is_there_is_not_waited_for() -> None:
    async def work(lookup: Lookup) -> None:
        lookup.end((b"a",))

    assert outcomes_of(work, one=0.0) == [("one", (b"a",))]


@pytest.mark.parametrize("outcome", [(b"a",), HostNotFound()], ids=["found", "not found"])
def test_who_is_told_may_ask_again(outcome: tuple[bytes, ...] | NotResolved) -> None:
    """What it does then comes in the middle of the telling."""
    told: list[int] = []

    async def ask_twice(loop: Any, lookup: Lookup) -> None:
        for _ in range(2):
            with suppress(NotResolved):
                await lookup.result(loop.now + 9.0)
            told.append(1)

    async def run(connections: Connections) -> int:
        lookup = Lookup()
        lookup.begin(connections.loop, after(0.01, outcome)(lookup))
        for _ in range(3):
            Task(connections.loop, ask_twice(connections.loop, lookup)).resume()
        while len(told) < 6:
            await sleep(0.01)
        return len(told)

    assert ResolverBench().run(run) == 6
