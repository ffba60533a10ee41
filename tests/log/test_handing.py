from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.log.handing import HandingSink, unpack
from mailworker.log.losses import Losses
from tests.support.recorded_log import RecordedLog

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def new_losses(log: RecordedLog | None = None) -> Losses:
    return Losses((log or RecordedLog()).log, lambda seconds, action: None)


@pytest.mark.parametrize(
    "sent",
    [(0, b"", b"line\n"), (1, b"u", b"line\n"), (1, b"\0/\n", b"\0\n\n"), (0, b"", b"x" * 60000 + b"\n")],
    ids=["literal", "pattern", "bytes", "long"],
)  # fmt: skip
def test_what_is_sent_is_what_arrives(pair: Pair, sent: tuple[int, bytes, bytes]) -> None:
    HandingSink(pair[0], 2, new_losses()).send(*sent)
    assert unpack(memoryview(pair[1].recv(1 << 17))) == sent


def test_lines_beyond_what_the_system_keeps_are_lost_and_counted(pair: Pair) -> None:
    log = RecordedLog()
    losses = new_losses(log)
    sink = HandingSink(pair[0], 1, losses)
    sent = 0
    while not losses.total:
        sink.send(0, b"", b"%d\n" % sent)
        sent += 1
    assert log.lines == ["[alert] write() to log writer failed (11: Resource temporarily unavailable), 1 line lost"]
    pair[1].setblocking(False)
    assert [unpack(memoryview(pair[1].recv(100))) for _ in range(sent - 1)][-1] == (0, b"", b"%d\n" % (sent - 2))


def test_what_goes_directly_arrives_as_what_is_sent(pair: Pair) -> None:
    losses = new_losses()
    sink = HandingSink(pair[0], 2, losses)
    way = sink.direct[1]
    assert way is not None
    assert way.write(b"line\n") == 5
    assert unpack(memoryview(pair[1].recv(1 << 17))) == (1, b"", b"line\n")
    sink.delay(1, b"line\n", 0, OSError(11, ""))
    assert losses.total == 1


def test_a_reader_that_has_gone_costs_lines_alone(pair: Pair) -> None:
    losses = new_losses()
    pair[1].close()
    HandingSink(pair[0], 1, losses).send(0, b"", b"line\n")
    assert losses.total == 1


@given(st.binary(max_size=64))
def test_what_no_sink_sends_is_refused_and_raises_nothing(packet: bytes) -> None:
    line = unpack(memoryview(packet))
    assert line is None or (packet.endswith(line[1] + line[2]) and line[2].endswith(b"\n"))
