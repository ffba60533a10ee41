from __future__ import annotations

import os
import socket

import pytest

from mailworker.process.system.announced import announced, inherited


def test_a_socket_is_announced_until_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, announced(theirs, "LINK") as environment:
        assert environment == {"LINK": str(theirs.fileno())}
        assert theirs.get_inheritable()
    assert theirs.fileno() == -1


def test_the_announced_socket_is_not_inherited_any_further() -> None:
    ours, theirs = socket.socketpair()
    passed = os.dup(theirs.fileno())
    os.set_inheritable(passed, True)
    with ours, theirs:
        link = inherited(str(passed))
        assert link is not None
        with link:
            assert not link.get_inheritable()
            ours.send(b"x")
            assert link.recv(1) == b"x"


@pytest.mark.parametrize("value", ["", "x", "-1", "1000000", "9" * 18, "9" * 30])
def test_what_names_no_socket_is_none(value: str) -> None:
    assert inherited(value) is None
