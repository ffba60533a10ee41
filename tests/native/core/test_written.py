from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from mailworker.native.core import written as module
from tests.support.implementations import without_c


class Sink:
    """A file or a channel."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor


direct = pytest.mark.parametrize(
    "make", [module.Direct, without_c(module).Direct], ids=["as the program has it", "in Python"]
)


@direct
def test_a_line_goes_behind_its_head_to_whatever_the_sink_has_now(make: Callable[..., module.Direct]) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    others, last = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs), closing(others), closing(last):
        sink = Sink(ours.fileno())
        way = make(sink, b"\0head")
        assert way.write(b"line\n") == 5
        sink.descriptor = others.fileno()
        assert way.write(b"") == 0
        assert (theirs.recv(100), last.recv(100)) == (b"\0headline\n", b"\0head")
        last.close()
        with pytest.raises(BrokenPipeError):
            way.write(b"line\n")
    assert not way.held


@direct
def test_of_a_line_that_is_cut_the_length_is_told(make: Callable[..., module.Direct]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        line = b"x" * (1 << 22)
        assert 0 < make(Sink(writing)).write(line) < len(line)
        with pytest.raises(BlockingIOError):
            make(Sink(writing)).write(line)
    finally:
        os.close(reading)
        os.close(writing)
