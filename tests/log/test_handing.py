from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from struct import pack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.log.handing import LONGEST_LINE, HandingSink, shortened, unpack
from mailworker.log.losses import Losses
from mailworker.variables.escapes import valid_json
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


def test_a_path_that_is_too_long_for_any_file_costs_its_line_alone(pair: Pair) -> None:
    losses = new_losses()
    sink = HandingSink(pair[0], 1, losses)
    sink.send(0, b"x" * 0x10000, b"lost\n")
    sink.send(0, b"x", b"line\n")
    packets = [pair[1].recv(1 << 18) for _ in range(2 - losses.total)]
    assert unpack(memoryview(packets[-1])) == (0, b"x", b"line\n")


def test_what_goes_directly_arrives_as_what_is_sent(pair: Pair) -> None:
    losses = new_losses()
    sink = HandingSink(pair[0], 2, losses)
    way = sink.direct[1]
    assert way is not None
    assert way.write(b"line\n") == 5
    assert unpack(memoryview(pair[1].recv(1 << 17))) == (1, b"", b"line\n")
    sink.delay(1, b"line\n", 0, OSError(11, ""))
    assert losses.total == 1


@pytest.mark.parametrize("directly", [False, True], ids=["sent", "directly"])
def test_a_line_that_is_too_long_comes_with_shorter_values(pair: Pair, directly: bool) -> None:
    losses = new_losses()
    sink = HandingSink(pair[0], 1, losses)
    user = bytes(range(256)) * 1000
    line = b'{"event":"end","user":"%b","status":"403"}\n' % valid_json(user)
    if directly:
        with pytest.raises(OSError, match="too long") as error:
            sink.direct[0].write(line)
        sink.delay(0, line, 0, error.value)
    else:
        sink.send(0, b"", line)
    _, _, got = unpack(memoryview(pair[1].recv(1 << 18))) or (0, b"", b"")
    members = json.loads(got)
    assert (members["event"], members["status"], losses.total) == ("end", "403", 0)
    assert members["user"].encode("latin-1") == user[: len(members["user"])]
    assert 8000 < len(got) < 8300


@pytest.mark.parametrize(
    ("line", "least"),
    [
        *((b"x" * 200000, 131071), (b'"' * 200000, 131071), (b'"\\' * 100000, 8192), (b'"a' + b'\\"' * 100000, 8192)),
        *((b'"' + "\u20ac".encode() * 70000 + b'" end', 8190), (b'a "' + b"\\x0A" * 70000 + b'" "e"', 8190)),
        (b'"' + b"\\u0001" * 70000 + b'"', 8186),
    ],
)
def test_whatever_a_long_line_has_it_is_cut_at_once(line: bytes, least: int) -> None:
    short = shortened(line + b"\n")
    assert least <= len(short) <= LONGEST_LINE
    assert short.endswith(b"\n")
    short.decode()


def test_a_reader_that_has_gone_costs_lines_alone(pair: Pair) -> None:
    losses = new_losses()
    pair[1].close()
    HandingSink(pair[0], 1, losses).send(0, b"", b"line\n")
    assert losses.total == 1


@given(st.binary(max_size=64))
@example(b"\0\0\0\0")
@example(b"\0\0\0\0line")
@example(b"\0\0\xff\xffpath\n")
def test_what_no_sink_sends_is_refused_and_raises_nothing(packet: bytes) -> None:
    line = unpack(memoryview(packet))
    assert line is None or (packet.endswith(line[1] + line[2]) and line[2].endswith(b"\n"))


@given(st.integers(0, 0xFFFF), st.integers(0, 80), st.binary(max_size=64))
def test_a_packet_is_a_path_and_a_line_or_refused(destination: int, length: int, rest: bytes) -> None:
    found = unpack(memoryview(pack("=HH", destination, length) + rest + b"\n"))
    assert found == (None if length > len(rest) else (destination, rest[:length], rest[length:] + b"\n"))
