from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailworker.process.handover.succession import Successor, kick_former, link_to_predecessor
from mailworker.process.link import MOST_QUESTIONS, Question, ask, open_link
from tests.support.patience import PATIENCE

_TOLD = """
import os, signal
from mailworker.process.handover.succession import Successor, kick_former, link_to_predecessor
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
successor = Successor()
with successor.announced() as environment:
    (value,) = environment.values()
    assert os.get_inheritable(int(value))
    passed = os.dup(int(value))
predecessor = link_to_predecessor(str(passed))
assert not os.get_inheritable(passed)
assert successor.take_kicks() == []
assert kick_former(predecessor, b"why\\n1 2 a")
assert signal.sigwaitinfo({signal.SIGIO}).si_pid == 0
assert successor.take_kicks() == [b"why\\n1 2 a"]
successor.close()
assert not kick_former(predecessor, b"why\\n1 2 a")
"""


def test_what_the_new_master_wants_reaches_the_old_one_by_a_signal() -> None:
    subprocess.run([sys.executable, "-c", _TOLD], check=True, timeout=PATIENCE)  # our other threads would take it


@pytest.fixture
def silent() -> Iterator[tuple[socket.socket, Successor]]:
    """A successor's end without a signal, and what writes to it."""
    ours, theirs = open_link()
    successor = Successor.__new__(Successor)
    successor._link = ours
    yield theirs, successor
    ours.close()
    theirs.close()


def test_nothing_else_is_obeyed(silent: tuple[socket.socket, Successor]) -> None:
    link, successor = silent
    for message in (b"", b"garbage", b"serves", b"question\0x\0kick\0a", b"question\0" + b"1" * 50 + b"\0kick\0a"):
        link.send(message)
    for command in (b"reload", b"level", b"kick-former"):
        assert ask(link, Question(0, command, b"1"))
    assert ask(link, Question(0, b"kick", b"x\0y"))
    assert successor.take_kicks() == [b"x\0y"]


def test_a_turn_takes_as_many_as_a_turn_with_children(silent: tuple[socket.socket, Successor]) -> None:
    link, successor = silent
    sent = 0
    while sent < 2 * MOST_QUESTIONS and kick_former(link, b"%d" % sent):
        sent += 1
        if sent % 8 == 0:
            assert successor.take_kicks() == [b"%d" % number for number in range(sent - 8, sent)]
    assert sent == 2 * MOST_QUESTIONS


def test_an_old_master_that_is_gone_or_has_no_room_hears_nothing(silent: tuple[socket.socket, Successor]) -> None:
    link, old = silent
    while kick_former(link, b"x" * 1000):
        pass
    assert len(old.take_kicks()) > 0
    assert kick_former(link, b"x")
    old.close()
    assert not kick_former(link, b"x")


@pytest.mark.parametrize("value", ["", "x", "-1", "1000000", "9" * 50, "3;4;"])
def test_a_variable_that_names_no_link_leaves_none(value: str) -> None:
    assert link_to_predecessor(value) is None


def test_another_kind_of_descriptor_is_no_link() -> None:
    one, other = socket.socketpair()
    with one, other, Path(os.devnull).open("rb") as file:
        assert link_to_predecessor(str(os.dup(one.fileno()))) is None
        assert link_to_predecessor(str(file.fileno())) is None
