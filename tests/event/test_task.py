from __future__ import annotations

import socket
from time import monotonic

import pytest

from mailworker.errors import ConnectionLost, MailworkerError, Party, TimedOut
from mailworker.event.task import Task, next_round, sleep, sleep_until, wait_for
from tests.event.bench import Bell, Bench
from tests.support.patience import PATIENCE


class _Deadline:
    """Nothing but a deadline that is an error to miss."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def park(self, task: Task) -> None:
        task.loop.set_deadline(task, task.loop.now + self._seconds)

    def timed_out(self) -> TimedOut:
        return TimedOut(Party.RESOLVER)


def test_a_coroutine_goes_on_where_it_waits(bench: Bench) -> None:
    said: list[str] = []
    bell = Bell()

    async def coroutine() -> None:
        said.append("begin")
        await wait_for(bell)
        said.append("end")

    bench.start(coroutine())
    assert said == ["begin"]
    bell.ring()
    assert said == ["begin", "end"]


def test_nested_coroutines_wait_alike(bench: Bench) -> None:
    bell = Bell()
    results: list[int] = []

    async def inner() -> int:
        await wait_for(bell)
        return 7

    async def outer() -> None:
        results.append(await inner())

    bench.start(outer())
    bell.ring()
    assert results == [7]


@pytest.mark.parametrize("failing", [LookupError("no room"), ConnectionLost(Party.BACKEND, "connect()", 1)])
def test_where_a_wait_cannot_begin_the_coroutine_gets_the_exception(bench: Bench, failing: Exception) -> None:
    caught: list[Exception] = []

    class Unable(Bell):
        def park(self, task: Task) -> None:
            raise failing

    async def coroutine() -> None:
        try:
            await wait_for(Unable())
        except type(failing) as error:
            caught.append(error)
        await next_round()
        await wait_for(Unable())

    bench.run(coroutine())
    assert caught == [failing]
    assert bench.take_bugs() == [failing]


def test_tasks_that_wait_for_the_next_round_take_turns(bench: Bench) -> None:
    said: list[str] = []

    async def count(name: str) -> None:
        for number in range(3):
            said.append(f"{name}{number}")
            await next_round()

    bench.run(count("a"), count("b"))
    assert said == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_a_task_that_is_cancelled_before_its_turn_has_none(bench: Bench) -> None:
    said: list[str] = []

    async def wait() -> None:
        await next_round()
        said.append("went on")

    async def cancel() -> None:
        task.cancel()
        await sleep(0.02)

    task = bench.start(wait())
    bench.run(cancel())
    assert not said


def test_sleep_takes_its_time(bench: Bench) -> None:
    begin = bench.loop.now

    async def coroutine() -> None:
        await sleep(0.02)
        await sleep(0.02)

    bench.run(coroutine())
    assert begin + 0.04 <= monotonic() < begin + PATIENCE


def test_a_time_that_only_a_newer_look_at_the_clock_has_passed_comes_with_the_loop_s_own(bench: Bench) -> None:
    passed: list[float] = []

    async def coroutine() -> None:
        while (end := monotonic()) <= bench.loop.now:
            pass
        await sleep_until(end)
        passed.append(bench.loop.now - end)

    bench.run(coroutine())
    assert passed[0] >= 0.0


def test_a_missed_deadline_is_raised_where_the_coroutine_waits(bench: Bench) -> None:
    errors: list[TimedOut] = []

    async def coroutine() -> None:
        try:
            await wait_for(_Deadline(0.01))
        except TimedOut as error:
            errors.append(error)
        await sleep(0.01)

    bench.run(coroutine())
    assert [error.party for error in errors] == [Party.RESOLVER]


def test_the_deadline_of_one_wait_does_not_reach_into_the_next(bench: Bench) -> None:
    bell = Bell()
    ended: list[str] = []

    async def waits() -> None:
        for waitable in (_Deadline(0.02), bell):
            await wait_for(waitable)
        ended.append("waits")

    async def rings() -> None:
        task.resume()
        await sleep(0.05)
        bell.ring()

    task = bench.start(waits())
    bench.run(rings())
    assert ended == ["waits"]


def test_a_task_that_has_ended_leaves_no_deadline(bench: Bench) -> None:
    async def coroutine() -> None:
        await wait_for(_Deadline(60.0))

    task = bench.start(coroutine())
    task.resume()
    assert task.deadline == task.bucket == float("inf")


@pytest.mark.parametrize("late", [False, True], ids=["at once", "after a wait"])
def test_an_unexpected_exception_is_a_bug_and_the_loop_goes_on(bench: Bench, late: bool) -> None:
    bug = ZeroDivisionError("a bug")
    ended: list[str] = []

    async def broken() -> None:
        if late:
            await sleep(0.01)
        raise bug

    async def sound() -> None:
        await sleep(0.02)
        ended.append("sound")

    bench.run(sound(), broken())
    assert bench.take_bugs() == [bug]
    assert ended == ["sound"]


def test_cancel_runs_the_finally_blocks(bench: Bench) -> None:
    said: list[str] = []

    async def inner() -> None:
        try:
            await wait_for(_Deadline(60.0))
        finally:
            said.append("inner")

    async def outer() -> None:
        try:
            await inner()
        except Exception:
            said.append("no error is raised")
        finally:
            said.append("outer")

    task = bench.start(outer())
    task.cancel()
    assert said == ["inner", "outer"]
    assert task.deadline == float("inf")


def test_cancel_before_the_start_runs_nothing(bench: Bench) -> None:
    said: list[str] = []

    async def coroutine() -> None:
        said.append("begin")

    inner = coroutine()
    bench.implementation.task.Task(bench.loop, inner).cancel()
    assert not said
    with pytest.raises(RuntimeError, match="already awaited"):
        inner.send(None)


def test_a_finally_block_that_fails_is_a_bug_and_no_trouble_for_who_cancels(bench: Bench) -> None:
    async def coroutine() -> None:
        try:
            await wait_for(Bell())
        finally:
            raise ZeroDivisionError

    task = bench.start(coroutine())
    task.cancel()
    assert [type(bug) for bug in bench.take_bugs()] == [ZeroDivisionError]


def test_who_was_cancelled_is_interrupted_no_more(bench: Bench) -> None:
    async def coroutine() -> None:
        await wait_for(_Deadline(60.0))

    task = bench.start(coroutine())
    task.cancel()
    task.interrupt(MailworkerError("late"))
    task.expire()


def test_who_is_interrupted_waits_no_more_for_what_it_waited_for(
    bench: Bench, pair: tuple[socket.socket, socket.socket]
) -> None:
    stream, said = bench.stream(pair[0]), []

    async def coroutine() -> None:
        try:
            await stream.read(10)
        except MailworkerError:
            await sleep(0.05)
            said.append(bench.loop.clock() >= ended)

    task, ended = bench.start(coroutine()), bench.loop.now + 0.05
    task.interrupt(MailworkerError("kicked"))
    pair[1].send(b"x")
    bench.run()
    assert said == [True]
