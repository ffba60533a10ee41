from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mailworker.process.system.signals import Received, SignalSocket
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE

# Signals for a whole process may reach any of its threads, so each way to wait is tried in a process that has one.
PREPARE = """
import os, signal
from mailworker.process.system.signals import BlockedSignals
blocked = BlockedSignals({signal.SIGUSR1, signal.SIGUSR2, *ALSO})
blocked.block()
def send(number):
    os.kill(os.getpid(), number)
"""


def run(script: str, also: str = "()") -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", PREPARE.replace("ALSO", also) + script],
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    return ended.stdout.decode().split()


@pytest.mark.parametrize("without", ["", "del signal.sigwaitinfo\n"], ids=["linux", "macos"])
@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("send(signal.SIGUSR1); print(WAIT(None).signal.name)", ["SIGUSR1"]),
        ("send(10); send(12); print(*sorted([WAIT(None).signal.name, WAIT(9.0).signal.name]))", ["SIGUSR1", "SIGUSR2"]),
        ("send(10); send(10); WAIT(None); print(WAIT(0.01))", ["None"]),
        ("print(WAIT(0.01), WAIT(0.0))", ["None", "None"]),
        ("send(10); WAIT(30.0); print(*signal.getitimer(signal.ITIMER_REAL))", ["0.0", "0.0"]),
    ],
)
def test_signals_wait_until_they_are_asked_for(without: str, script: str, printed: list[str]) -> None:
    assert run(without + script.replace("WAIT", "blocked.wait")) == printed


def test_the_sender_is_known() -> None:
    assert run("send(signal.SIGUSR1); print(blocked.wait(9.0).sender == os.getpid())") == ["True"]


def test_an_alarm_of_somebody_else_is_a_signal_and_no_end() -> None:
    script = "send(14); got = blocked.wait(30.0); print(got.signal.name, blocked.wait(0.01))"
    assert run(script, also="[signal.SIGALRM]") == ["SIGALRM", "None"]


def test_an_alarm_of_somebody_else_that_comes_behind_another_signal_is_not_lost() -> None:
    between = "disarm = signal.setitimer; signal.setitimer = lambda *args: (args[1] or send(14), disarm(*args)); "
    script = "send(10); print(*(blocked.wait(9.0).signal.name for _ in range(2)))"
    assert run(between + script, also="[signal.SIGALRM]") == ["SIGUSR1", "SIGALRM"]


def test_the_alarm_of_a_timeout_that_was_not_needed_is_no_signal() -> None:
    late = "arm = signal.setitimer; signal.setitimer = lambda *args: args[1] and (arm(*args), time.sleep(0.1)); "
    script = "send(10); print(blocked.wait(0.01).signal.name, blocked.wait(None))"
    assert run(f"import time; {late}{script}", also="[signal.SIGALRM]") == ["SIGUSR1", "None"]


def test_a_process_that_was_stopped_over_its_timeout_has_got_no_signal() -> None:
    """CPython's sigtimedwait gives a number that was never sent there."""
    script = "print('waits', flush=True); print(blocked.wait(0.5))"
    command = [sys.executable, "-c", PREPARE.replace("ALSO", "()") + script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waits\n"
        started = time.monotonic()
        os.kill(waiting.pid, signal.SIGSTOP)
        wait_until(lambda: time.monotonic() - started > 0.7, "the timeout's end")
        os.kill(waiting.pid, signal.SIGCONT)
        assert waiting.communicate(timeout=PATIENCE)[0] == "None\n"
    assert waiting.returncode == 0


def test_unblocked_signals_act_again() -> None:
    script = "signal.signal(signal.SIGUSR1, lambda *_: print('acted')); send(signal.SIGUSR1); print('held')"
    assert run(f"{script}; blocked.unblock()") == ["held", "acted"]


@pytest.mark.parametrize(
    ("received", "action", "text"),
    [
        (Received(signal.SIGTERM, 17), ", exiting", "signal 15 (SIGTERM) received from 17, exiting"),
        (Received(signal.SIGHUP), ", reconfiguring", "signal 1 (SIGHUP) received, reconfiguring"),
        (Received(signal.SIGINT, 17), "", "signal 2 (SIGINT) received from 17"),
    ],
)
def test_messages_are_those_of_nginx(received: Received, action: str, text: str) -> None:
    assert received.describe(action) == text


def test_a_socket_tells_of_signals() -> None:
    signals = SignalSocket()
    numbers = {signal.SIGUSR1, signal.SIGUSR2}
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        signals.open(numbers)
        assert signals.read() == []
        for number in numbers:
            os.kill(os.getpid(), number)
        assert {received.signal for received in signals.read()} == numbers
        assert signals.read() == []
    finally:
        signals.close()
        for number, handler in before.items():
            signal.signal(number, handler)
