"""Which of the two cores a process has; that both do the same is what the tests of tests/event say."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest

from mailworker.native.core import accelerator

ASK = """
import sys
from contextlib import suppress
from typing import Any
{before}
from mailworker.event import loop, poller, relay, sockets, stream, task, timers
types = {{loop.LoopState, poller.Epoll, relay.Pump, relay.Side, stream.BaseStream, task.Task, timers.Timed}}
print(sorted({{each.__module__ for each in types}}), sockets.hand_on.__module__)
"""
IN_PYTHON = (
    "['mailworker.event.loop', 'mailworker.event.poller', 'mailworker.event.relay', 'mailworker.event.stream', "
    "'mailworker.event.task', 'mailworker.event.timers'] mailworker.event.sockets\n"
)


def asked(environment: dict[str, str], before: str = "") -> str:
    kept = {name: value for name, value in os.environ.items() if name != "MAILWORKER_PURE"}
    command = [sys.executable, "-c", ASK.format(before=before)]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(accelerator is None or sys.platform != "linux", reason="tests run without C, or without epoll")
def test_what_is_built_is_used() -> None:
    assert asked({}) == "['mailworker.native.core._core'] mailworker.native.core._core\n"
    assert asked({"MAILWORKER_PURE": ""}) == asked({})


@pytest.mark.skipif(sys.platform != "linux", reason="without epoll there is no type of that name in C")
def test_it_is_left_out_where_that_is_asked_for() -> None:
    assert asked({"MAILWORKER_PURE": "1"}) == IN_PYTHON


@pytest.mark.skipif(sys.platform != "linux", reason="without epoll there is no type of that name in C")
def test_what_is_not_built_is_not_missed() -> None:
    assert asked({}, "sys.modules['mailworker.native.core._core'] = None") == IN_PYTHON


# Classes in Python are derived from the first ones, and call their constructors; the others need no arguments.
MADE_EMPTY = {
    *("BaseStream", "ConnectionCounter", "LoopState", "Pair", "SessionTally"),
    *("Epoll", "Timed", "Timers"),
}


@pytest.mark.skipif(accelerator is None or sys.platform != "linux", reason="tests run without C, or without epoll")
def test_no_object_is_there_before_it_has_what_it_needs() -> None:
    kinds: list[Any] = [kind for kind in vars(accelerator).values() if isinstance(kind, type)]
    made = set()
    for kind in kinds:
        with suppress(TypeError):
            kind.__new__(kind)
            made.add(kind.__name__)
    assert made == MADE_EMPTY
