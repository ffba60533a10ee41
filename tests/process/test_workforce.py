"""A helper process is one class and one row of a table: here is one that the program does not have."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mailworker.log.log import Log
from mailworker.process.children import Child, Children, Exit, Place
from mailworker.process.cycle import Cycle
from mailworker.process.log_writer import LogWriter
from mailworker.process.worker import Worker
from mailworker.process.workforce import Refusals, Workforce
from tests.support.daemon import wait_until
from tests.support.process import GREETING, Mailworker, configuration, greeting, is_called
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration as configuration_of


class Helped(Mailworker):
    """One that has the test's helper."""

    def command(self, *arguments: str) -> list[str]:
        return [self.interpreter, "-m", "tests.process.helped", "-p", str(self.folder), *arguments]

    def helpers(self, master: int | None = None) -> list[int]:
        """The process ids of those that help."""
        children = psutil.Process(self.pid if master is None else master).children()
        return [child.pid for child in children if is_called(child, "helper process")]

    def await_helper(self, without: int = 0) -> int:
        found: list[int] = []

        def there() -> bool:
            found[:] = self.helpers()
            return len(found) == 1 and found != [without]

        self.await_true(there, "a helper")
        return found[0]


@pytest.fixture
def helped(folder: Path, port: int) -> Iterator[Helped]:
    mailworker = Helped(folder, configuration(port, main="worker_processes 2;"))
    mailworker.alerts.append("helper process .* exited on signal")
    mailworker.start()
    mailworker.await_workers(2)
    yield mailworker
    mailworker.stop()


def test_a_helper_starts_before_the_workers(helped: Helped) -> None:
    helped.await_helper()
    started = helped.lines(r"start (helper|worker) process \d+$")
    assert ["helper" in line for line in started] == [True, False, False]


def test_a_helper_that_dies_is_replaced_and_nobody_else_notices(helped: Helped, port: int) -> None:
    workers = helped.await_workers(2)
    helper = helped.await_helper()
    os.kill(helper, signal.SIGKILL)
    helped.await_helper(without=helper)
    assert helped.lines(rf"\[alert\] .*: helper process {helper} exited on signal 9$")
    assert helped.await_workers(2) == workers
    assert greeting(port) == GREETING


def test_a_helper_leaves_after_the_last_worker_of_its_cycle(helped: Helped, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        old, workers = helped.await_helper(), helped.await_workers(2)
        helped.signal(signal.SIGHUP)
        helped.await_true(lambda: len(helped.helpers()) == 2, "the new cycle's helper")
        helped.await_line("gracefully shutting down$", 2)
        helped.await_true(lambda: len(set(workers) & {child.pid for child in helped.workers()}) == 1, "a worker's end")
        assert old in helped.helpers()
        assert not helped.lines("helped$")
    helped.await_line(rf"{old}#{old}: helped$")
    helped.await_line(rf"helper process {old} exited with code 0$")
    assert helped.await_helper(without=old)
    helped.await_workers(2, without=workers)


def test_a_helper_gets_the_logs_that_are_begun_anew(helped: Helped) -> None:
    helper = helped.await_helper()
    helped.error_log.rename(helped.folder / "logs" / "moved.log")
    helped.signal(signal.SIGUSR1)
    helped.await_true(helped.error_log.exists, "the new log")
    heard = f"{helper}#{helper}: reopening logs\n"
    helped.await_true(lambda: heard in (helped.folder / "logs" / "moved.log").read_text(), "the helper's hearing")
    os.kill(helper, signal.SIGQUIT)
    helped.await_line(rf"{helper}#{helper}: helped$")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_master_that_leaves_takes_its_helper_along(helped: Helped, number: signal.Signals) -> None:
    helper = helped.await_helper()
    helped.signal(number)
    assert helped.await_exit() == 0
    assert not psutil.pid_exists(helper)


def test_a_helper_does_not_outlive_its_master(helped: Helped) -> None:
    helped.alerts.append("master process is gone, shutting down$")
    helper, workers = helped.await_helper(), helped.await_workers(2)
    os.kill(helped.pid, signal.SIGKILL)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in (helper, *workers)), "the end of all")


def test_a_system_that_refuses_processes_for_days_is_asked_every_8_seconds() -> None:
    refusals, log = Refusals(), RecordedLog().log
    pauses = [refusals.pause(log) for _ in range(20_000)]
    assert pauses[:7] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert pauses[-1] == 8.0
    refusals.end(Place(Worker, 0))
    assert refusals.pause(log) == 0.25


Later = list[tuple[float, Callable[[], None]]]


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that are sent, and to whom."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


@pytest.fixture
def staff() -> Iterator[tuple[Workforce, Children, Later]]:
    """Two workers and a log writer between them, and what is to happen later."""
    later: Later = []

    def after(seconds: float, action: Callable[[], None]) -> None:
        later.append((seconds, action))

    cycle = Cycle(configuration_of(), (), RecordedLog().log)
    children = Children(lambda: None, lambda: None, after, daemonised=False)
    for pid, place in enumerate((Place(Worker, 0), Place(LogWriter, 0), Place(Worker, 1)), 1):
        children._children[pid] = Child(pid, place, cycle, 0.0, socket.socket(), row=pid)
    yield Workforce(cycle, children, after), children, later
    for child in children:
        child.link.close()
    children.close()


def test_a_termination_insists_and_asks_helpers_when_no_worker_is_left(
    kills: list[tuple[int, int]], staff: tuple[Workforce, Children, Later]
) -> None:
    """With nginx's delays; helpers take the last words of workers, and have their own time for that."""
    workforce, children, later = staff
    workforce.terminate()
    for _ in range(3):
        later[-1][1]()
    children._children.pop(1).link.close()
    for _ in range(3):
        later[-1][1]()
    children._children.pop(3).link.close()
    later[-1][1]()
    workforce.reap()
    assert kills == [
        *[(1, signal.SIGTERM), (3, signal.SIGTERM)] * 4,
        *[(3, signal.SIGTERM), (3, signal.SIGKILL), (3, signal.SIGKILL)],
        (2, signal.SIGQUIT),
    ]
    assert [seconds for seconds, _ in later] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 5.0]


def test_a_termination_without_workers_asks_the_helpers_at_once(
    kills: list[tuple[int, int]], staff: tuple[Workforce, Children, Later]
) -> None:
    workforce, children, later = staff
    for worker in (1, 3):
        children._children.pop(worker).link.close()
    workforce.terminate()
    assert kills == [(2, signal.SIGQUIT)]
    assert [seconds for seconds, _ in later] == [0.05, 5.0]


def test_a_helper_has_time_to_die_after_it_was_killed(
    kills: list[tuple[int, int]], staff: tuple[Workforce, Children, Later]
) -> None:
    """Also where the master itself was held: the time begins when it kills."""
    workforce, children, later = staff
    for worker in (1, 3):
        children._children.pop(worker).link.close()
    workforce.dismiss()
    (end,) = later
    end[1]()
    assert kills == [(2, signal.SIGQUIT), (2, signal.SIGKILL)]
    assert [child.pid for child in children] == [2]
    later[1][1]()
    assert not children
    assert [seconds for seconds, _ in later] == [5.0, 5.0]


def test_a_worker_that_there_is_no_memory_for_is_started_later(
    staff: tuple[Workforce, Children, Later], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place stayed empty until a reload."""
    workforce, children, later = staff
    workforce.start()
    spawned = list[Place]()

    def spawn(_children: Children, _cycle: Cycle, place: Place, *_: object) -> None:
        spawned.append(place)
        if len(spawned) == 1:
            raise MemoryError

    monkeypatch.setattr(Children, "spawn", spawn)
    gone = children._children.pop(1)
    gone.link.close()
    monkeypatch.setattr(Children, "reap", lambda _children: [Exit(1, gone, status=11)])
    monkeypatch.setattr(Exit, "log", lack)
    with pytest.raises(MemoryError):
        workforce.reap()
    assert (spawned, later[-1][0]) == ([gone.place], 0.25)
    later[-1][1]()
    assert spawned[:2] == [gone.place] * 2


def test_a_worker_whose_start_cannot_be_logged_is_no_stranger(
    staff: tuple[Workforce, Children, Later], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master would have started another one, and would have told this one nothing."""
    workforce, children, _ = staff
    cycle = workforce._cycle
    monkeypatch.setattr(os, "fork", lambda: 1 << 30)
    monkeypatch.setattr(Log, "write", lack)
    with pytest.raises(MemoryError):
        children.spawn(cycle, Place(Worker, 2), cycle)
    assert children.are_in(Place(Worker, 2), cycle)


def test_a_worker_whose_rows_there_is_no_memory_to_free_is_reaped(
    staff: tuple[Workforce, Children, Later], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not replaced, and a channel stayed open."""
    ends = [(1, int(signal.SIGSEGV)), (0, 0)]
    _, children, _ = staff
    monkeypatch.setattr(os, "waitpid", lambda *_: ends.pop(0))
    monkeypatch.setattr(Cycle, "free", lack)
    assert [(ended.pid, ended.code) for ended in children.reap()] == [(1, -signal.SIGSEGV)]


def lack(*_: object) -> None:
    raise MemoryError
