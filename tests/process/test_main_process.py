"""What a master and a single process have in common: how they leave, and what they do about reloads."""

from __future__ import annotations

import gc
import signal
import weakref
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from typing import cast

import pytest

from mailworker.event.timers import Timed
from mailworker.process.cycle import Cycle
from mailworker.process.file_watch import FileWatch
from mailworker.process.handover.inheritance import Inheritance
from mailworker.process.invocation import Invocation
from mailworker.process.main_process import MainProcess
from mailworker.process.origin import Origin
from mailworker.process.system.daemon import Starter
from mailworker.process.system.service_manager import REFUSED, ServiceManager
from mailworker.process.system.signals import Received
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration

INVOCATION = Invocation(("mailworker",), Path("/prefix"), Path("/prefix/conf/mailworker.conf"), None)
TERM, QUIT, HUP, USR1 = signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1


class Main(MainProcess):
    """Notes what it is told to do; it has served when it has obeyed `signals`."""

    __slots__ = ("signals", "steps", "told", "waiting")

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.told: list[str | None] = []
        self.signals: tuple[Signals, ...] = ()
        self.waiting: dict[Timed, float] = {}
        origin = Origin(INVOCATION, Inheritance(), cast(ServiceManager, Manager(steps)), False, Starter())
        super().__init__(origin, new_cycle())

    @property
    def cycle(self) -> Cycle:
        return self._cycle

    @property
    def _status(self) -> str:
        return "serving"

    def obey(self, *signals: Signals) -> None:
        for each in signals:
            self._obey(Received(each))

    def hold_signals(self) -> None:
        pass

    def _serve(self) -> int:
        self.obey(*self.signals)
        return 3

    def _end_sessions(self) -> None:
        self.steps.append("end sessions")

    def _end(self) -> None:
        self.steps.append("end")

    def _succeed(self, old: Cycle) -> None:
        self.steps.append("succeed")

    def _reopen_files(self) -> None:
        self.steps.append("logs")

    def _expire_after(self, timed: Timed, seconds: float) -> None:
        self.waiting[timed] = seconds

    def _report_reload(self, failure: str | None) -> None:
        self.told.append(failure)


class Manager:
    """A service manager."""

    def __init__(self, steps: list[str]) -> None:
        self._steps = steps

    def ready(self, status: str) -> None:
        self._steps.append(status)

    def reloading(self) -> None:
        self._steps.append("reloading")

    def stopping(self) -> None:
        self._steps.append("stopping")


class Reload:
    """A reload that ends when the test says so."""

    begun: list[Reload]

    def __init__(
        self, _invocation: Invocation, _old: Cycle, _after: object, finished: Callable[[Cycle | str], None]
    ) -> None:
        self.finish = finished
        self.abandoned = False

    def run(self) -> None:
        self.begun.append(self)

    def abandon(self) -> None:
        self.abandoned = True


def new_cycle() -> Cycle:
    return Cycle(configuration(), (), RecordedLog().log)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Main:
    monkeypatch.setattr("mailworker.process.main_process.Reload", Reload)
    monkeypatch.setattr("mailworker.process.main_process.title_master", lambda arguments: None)
    monkeypatch.setattr(Cycle, "redirect_stderr", lambda cycle: None)
    Reload.begun = []
    return Main([])


@pytest.mark.parametrize(
    ("signals", "steps"),
    [
        ((TERM,), ["stopping", "end"]),
        ((QUIT,), ["stopping", "end sessions"]),
        ((QUIT, QUIT), ["stopping", "end sessions"]),
        ((QUIT, TERM), ["stopping", "end sessions", "stopping", "end"]),
        ((TERM, QUIT, TERM), ["stopping", "end"]),
        ((QUIT, HUP), ["stopping", "end sessions"]),
    ],
)
def test_who_leaves_never_turns_back(main: Main, signals: tuple[Signals, ...], steps: list[str]) -> None:
    main.obey(*signals)
    assert main.steps == steps


def test_a_reload_puts_a_new_cycle_in_the_place_of_the_old(main: Main) -> None:
    main.obey(HUP)
    new = new_cycle()
    Reload.begun[0].finish(new)
    assert main.cycle is new
    assert main.steps == ["reloading", "succeed", "serving"]


def test_a_reload_that_fails_leaves_all_as_it_is(main: Main) -> None:
    old = main.cycle
    main.obey(HUP)
    Reload.begun[0].finish("refused")
    assert main.cycle is old
    assert main.told == ["refused"]
    assert main.steps == ["reloading", REFUSED]


def test_a_reload_whose_files_cannot_be_watched_is_finished_all_the_same(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master had another configuration than its workers, for ever, and a client of `reload` had no answer."""

    def fail(_watch: FileWatch, _cycle: Cycle) -> None:
        raise MemoryError

    monkeypatch.setattr(FileWatch, "follow", fail)
    main.obey(HUP)
    with pytest.raises(MemoryError):
        Reload.begun[0].finish(new_cycle())
    assert main.steps == ["reloading", "succeed", "serving"]
    assert main.told == [None]


@pytest.mark.parametrize("signals", [(HUP,), (HUP, HUP)])
@pytest.mark.parametrize("fails", [True, False])
def test_reloads_that_come_during_one_are_one_after_it(main: Main, signals: tuple[Signals, ...], fails: bool) -> None:
    main.obey(HUP, *signals)
    assert len(Reload.begun) == 1
    Reload.begun[0].finish("refused" if fails else new_cycle())
    assert len(Reload.begun) == 2
    Reload.begun[1].finish(new_cycle())
    assert len(Reload.begun) == 2


def test_the_ends_of_reloads_are_told_in_their_order(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    main.obey(HUP, HUP)

    def end_at_once(reload: Reload) -> None:
        reload.finish("fork() failed")

    monkeypatch.setattr(Reload, "run", end_at_once)
    Reload.begun[0].finish(new_cycle())
    assert main.told == [None, "fork() failed"]


@pytest.mark.parametrize("leave", [TERM, QUIT])
def test_who_leaves_gives_up_a_reload_and_those_that_wait(main: Main, leave: Signals) -> None:
    main.obey(HUP, HUP, leave)
    assert [reload.abandoned for reload in Reload.begun] == [True]
    assert main.steps[:3] == ["reloading", "serving", "stopping"]


def test_logs_that_are_reopened_during_a_reload_are_reopened_in_its_cycle_too(main: Main) -> None:
    """It had opened them already."""
    main.obey(HUP, USR1)
    Reload.begun[0].finish(new_cycle())
    main.obey(HUP)
    Reload.begun[1].finish(new_cycle())
    assert main.steps == ["reloading", "logs", "succeed", "logs", "serving", "reloading", "succeed", "serving"]


@pytest.mark.parametrize("signals", [(TERM,), (Signals.SIGCHLD,)], ids=["well", "by a bug"])
def test_whatever_ends_it_is_logged_and_the_pid_file_goes(
    main: Main, monkeypatch: pytest.MonkeyPatch, signals: tuple[Signals, ...]
) -> None:
    log, removed = RecordedLog(), list[str]()
    main.cycle.log = log.log
    monkeypatch.setattr("mailworker.process.system.pid_file.remove", lambda path: removed.append(path.name))
    main.signals = signals
    if signals == (TERM,):
        assert main.run() == 3
    else:
        with pytest.raises(KeyError):
            main.run()
    assert log.lines[-1] == "[notice] exit"
    assert removed == ["mailworker.pid", "mailworker.pid.oldbin"]


class Keyed(Cycle):
    """It has ticket keys, which are rotated every `pause` seconds; `rotations` counts that."""

    __slots__ = ("__weakref__", "pause", "rotations")

    def __init__(self, pause: float | None) -> None:
        super().__init__(configuration(), (), RecordedLog().log)
        self.pause = pause
        self.rotations = 0

    def rotate_ticket_keys(self) -> float | None:
        self.rotations += 1
        return self.pause


def switch(main: Main, new: Cycle) -> None:
    main.obey(HUP)
    Reload.begun.pop().finish(new)


def strike(main: Main) -> float:
    """End the only wait; returns its length."""
    ((timed, seconds),) = main.waiting.items()
    main.waiting.clear()
    timed.expire()
    return seconds


def test_ticket_keys_of_the_latest_cycle_are_rotated_at_once_and_whenever_they_are_due(main: Main) -> None:
    old, new = Keyed(100.0), Keyed(200.0)
    switch(main, old)
    assert [strike(main) for _ in range(3)] == [100.0] * 3
    assert old.rotations == 4
    switch(main, new)
    assert strike(main) == 200.0
    assert (old.rotations, new.rotations) == (4, 2)


def test_ticket_keys_that_there_is_no_memory_to_rotate_are_rotated_later(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack(_cycle: Keyed) -> float:
        raise MemoryError

    switch(main, Keyed(100.0))
    monkeypatch.setattr(Keyed, "rotate_ticket_keys", lack)
    with pytest.raises(MemoryError):
        strike(main)
    monkeypatch.undo()
    assert [strike(main), strike(main)] == [1.0, 100.0]


def test_without_ticket_keys_nothing_is_planned(main: Main) -> None:
    switch(main, Keyed(None))
    assert not main.waiting


def test_a_cycle_that_was_replaced_is_not_kept_until_its_keys_would_be_due(main: Main) -> None:
    old = Keyed(100.0)
    gone = weakref.ref(old)
    switch(main, old)
    gc.disable()
    try:
        del old
        switch(main, Keyed(200.0))
        assert gone() is None
    finally:
        gc.enable()


class _Ring:
    """Garbage that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


def test_the_collector_has_run_before_children_share_the_memory(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before the first one: the file reader had its own copy of 10 MB, as workers are forked after it."""
    rings: list[weakref.ref[_Ring]] = []
    alive: list[bool] = []

    def litter() -> None:
        rings.append(weakref.ref(_Ring()))

    monkeypatch.setattr(FileWatch, "follow", lambda _watch, _cycle: alive.append(rings[-1]() is not None))
    gc.disable()
    try:
        litter()
        main.run()
        main.obey(HUP)
        litter()
        Reload.begun[0].finish(new_cycle())
    finally:
        gc.enable()
    assert alive == [False, False]
