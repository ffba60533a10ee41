from __future__ import annotations

import socket

from mailworker.event.loop import Loop
from mailworker.event.poller import READ
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
