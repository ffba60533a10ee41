from __future__ import annotations

import socket

import pytest

from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.event.timers import Timers
from mailworker.process.system.callbacks import Alarm, Watch


def test_an_alarm_calls_once_and_a_watch_whenever_there_is_something_to_read() -> None:
    bugs: list[Exception] = []
    loop = Loop(bugs.append)
    ours, theirs = socket.socketpair()
    calls: list[str] = []

    def read() -> None:
        calls.append(ours.recv(1).decode())
        if len(calls) == 4:
            loop.stop()

    def ring() -> None:
        calls.append("alarm")
        theirs.send(b"bc")

    with ours, theirs:
        theirs.send(b"a")
        loop.watch(ours.fileno(), READ, Watch(read))
        loop.set_deadline(Alarm(ring), loop.now + 0.01)
        loop.run()
    loop.close()
    assert calls == ["a", "alarm", "b", "c"]
    assert not bugs


def test_an_alarm_without_memory_for_its_action_rings_again() -> None:
    """The master dismissed no workers of the former configuration any more, or notified no watchdog."""
    calls, timers = list[str](), Timers()

    def ring() -> None:
        calls.append("alarm")
        if len(calls) == 1:
            raise MemoryError

    timers.set(Alarm(ring, lambda alarm, seconds: timers.set(alarm, 1.0 + seconds, 1.0)), 1.0, 0.0)
    with pytest.raises(MemoryError):
        timers.expire(1.5)
    timers.expire(1.5)
    assert calls == ["alarm"]
    timers.expire(3.0)
    assert calls == ["alarm"] * 2
    assert timers.delay(3.0) is None
