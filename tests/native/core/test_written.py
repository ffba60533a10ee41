from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from mailworker.native.core import written as module
from tests.support.implementations import without_c

Written = Callable[[int, bytes], int]


@pytest.fixture(params=[module.written, without_c(module).written], ids=["as the program has it", "in Python"])
def written(request: pytest.FixtureRequest) -> Written:
    function: Written = request.param
    return function


def test_it_tells_how_much_the_system_has_taken(written: Written) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        assert written(writing, b"a\0b") == 3
        assert os.read(reading, 10) == b"a\0b"
        data = b"x" * (1 << 22)
        taken = written(writing, data)
        assert 0 < taken < len(data)
        with pytest.raises(BlockingIOError):
            written(writing, b"x" * (1 << 16))
    finally:
        os.close(reading)
        os.close(writing)


def test_a_peer_that_has_gone_is_an_error_and_no_signal(written: Written) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours):
        theirs.close()
        with pytest.raises(BrokenPipeError) as caught:
            written(ours.fileno(), b"x")
    assert caught.value.errno == errno.EPIPE


def test_bytes_are_wanted(written: Written) -> None:
    with pytest.raises(TypeError):
        written(0, "text")  # type: ignore[arg-type]


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
