"""Small pieces in quick succession are gathered by the kernel until their writer pauses, by the loop's clock."""

from __future__ import annotations

import errno
import gc
import os
import socket
import sys
import weakref

import pytest

from mailworker.event.poller import READ
from mailworker.event.relay import LimitedSide
from tests.event.relays import MakeLine, MakeRelay, Relay
from tests.event.rushes import (
    ENOUGH,
    MARK,
    PAUSE,
    QUICK,
    SLOW,
    SMALL,
    WAIT_LIMIT,
    arrived,
    both_ways,
    heard,
    lines_of,
    mark_of,
    marks,
    pause,
    rush,
    sealed,
    tcp_relay,
    write,
)
from tests.event.test_relay import all_combinations
from tests.support.implementations import Implementation
from tests.support.refusing import numbers, refuse


@pytest.fixture
def relay(make_line: MakeLine, make_relay: MakeRelay) -> Relay:
    """By unix sockets, whose input Linux reports even below the mark."""
    return make_relay(make_line(tls=False), make_line(tls=False))


@both_ways
@all_combinations
def test_pieces_in_quick_succession_set_a_mark_until_a_pause(
    make_line: MakeLine, make_relay: MakeRelay, source_tls: bool, sink_tls: bool, writer: int
) -> None:
    relay = make_relay(make_line(tls=source_tls), make_line(tls=sink_tls))
    said = rush(relay, writer, ENOUGH - 1)
    assert marks(relay) == (1, 1)
    write(relay, b"one more", writer=writer)
    assert marks(relay) == ((1, MARK) if writer else (MARK, 1))
    lines_of(relay, writer)[0].peer.send(b"the last")
    pause(relay)
    assert marks(relay) == (1, 1)
    assert heard(lines_of(relay, writer)[1]) == said + b"one morethe last"


def test_what_is_below_the_mark_waits_no_longer_than_for_the_pause(make_line: MakeLine, make_relay: MakeRelay) -> None:
    """And is passed on without another event of its socket, as not every system reports it."""
    relay = tcp_relay(make_line, make_relay)
    rush(relay)
    heard(relay.sink)
    relay.source.peer.send(b"QUIT\r\n")
    arrived(relay.source, 6)
    relay.turn()
    assert heard(relay.sink) == b""
    pause(relay)
    assert heard(relay.sink) == b"QUIT\r\n"
    assert relay.events == (READ, READ)


def test_a_pause_counts_from_the_last_piece(relay: Relay) -> None:
    rush(relay)
    for _ in range(4):
        write(relay, bytes(MARK), 0.0005)
        pause(relay, 0.0004)
        assert marks(relay) == (MARK, 1)
    pause(relay)
    assert marks(relay) == (1, 1)


def test_a_part_of_a_record_below_the_mark_is_completed_after_the_pause(
    make_line: MakeLine, make_relay: MakeRelay
) -> None:
    relay = tcp_relay(make_line, make_relay, tls=True)
    rush(relay)
    heard(relay.sink)
    record = sealed(relay.source, b"QUIT\r\n")
    with socket.socket(fileno=relay.source.peer.detach()) as raw:
        raw.send(record[:9])
        arrived(relay.source, 9)
        pause(relay)
        assert heard(relay.sink) == b""
        raw.send(record[9:])
        relay.turn(WAIT_LIMIT)
        assert heard(relay.sink) == b"QUIT\r\n"


def test_a_dialogue_sets_no_mark_however_quick_it_is(relay: Relay) -> None:
    for _ in range(3 * ENOUGH):
        write(relay, b"a NOOP\r\n", writer=0)
        write(relay, b"a OK\r\n", writer=1)
    assert marks(relay) == (1, 1)


@pytest.mark.parametrize("size", [1, SMALL])
def test_the_smallest_and_the_largest_of_small_pieces_set_a_mark(relay: Relay, size: int) -> None:
    write(relay, b"first", SLOW)
    for _ in range(ENOUGH):
        write(relay, bytes(size))
    assert marks(relay) == (MARK, 1)


def test_calls_without_a_piece_set_no_mark(relay: Relay) -> None:
    write(relay, b"first", SLOW)
    for _ in range(ENOUGH):
        relay.loop.now += QUICK
        relay.sides[0].ready(READ)
    assert marks(relay) == (1, 1)


@pytest.mark.parametrize(
    ("size", "pace"),
    [(10, SLOW), (SMALL + 1, QUICK), (SMALL + 1, SLOW)],
    ids=["slow ones", "large ones", "slow and large ones"],
)
def test_other_pieces_set_no_mark(relay: Relay, size: int, pace: float) -> None:
    for _ in range(3 * ENOUGH):
        write(relay, bytes(size), pace)
    assert marks(relay) == (1, 1)


@pytest.mark.parametrize(("size", "pace"), [(10, SLOW), (SMALL + 1, QUICK)], ids=["a slow one", "a large one"])
def test_another_piece_begins_the_count_again(relay: Relay, size: int, pace: float) -> None:
    for _ in range(3):
        rush(relay, pieces=ENOUGH - 1)
        write(relay, bytes(size), pace)
    assert marks(relay) == (1, 1)


def test_a_reply_begins_the_count_again(relay: Relay) -> None:
    rush(relay, pieces=ENOUGH - 1)
    write(relay, b"* 1 EXISTS\r\n", writer=1)
    for _ in range(ENOUGH - 1):
        write(relay, b"one more")
    assert marks(relay) == (1, 1)
    write(relay, b"one more")
    assert marks(relay) == (MARK, 1)


def test_a_reply_while_a_mark_is_set_goes_its_way_and_begins_no_count(relay: Relay) -> None:
    rush(relay)
    side = relay.sides[0]
    references = sys.getrefcount(side)
    for _ in range(ENOUGH + 1):
        write(relay, b"a NOOP\r\n", 0.0, writer=0)
        write(relay, b"a OK\r\n", 0.0, writer=1)
    assert heard(relay.source) == b"a OK\r\n" * (ENOUGH + 1)
    for _ in range(ENOUGH + 1):
        write(relay, b"a NOOP\r\n", 0.0)
    assert marks(relay) == (MARK, 1)
    assert sys.getrefcount(side) == references


def test_other_relays_wait_for_nothing(
    make_line: MakeLine, make_relay: MakeRelay, implementation: Implementation
) -> None:
    relay = tcp_relay(make_line, make_relay)
    other = Relay(make_line(tls=False, tcp=True), make_line(tls=False), implementation=implementation, beside=relay)
    rush(relay)
    heard(relay.sink)
    relay.source.peer.send(b"a NOOP\r\n")
    arrived(relay.source, 8)
    for number in range(3):
        other.source.peer.send(b"%d NOOP\r\n" % number)
        relay.turn(WAIT_LIMIT)
        assert heard(other.sink) == b"%d NOOP\r\n" % number
    assert heard(relay.sink) == b""
    other.close()


def test_both_ways_at_once_are_gathered_each_by_itself(relay: Relay) -> None:
    rush(relay, 0)
    rush(relay, 1)
    assert marks(relay) == (MARK, MARK)
    for _ in range(3):
        write(relay, bytes(MARK), PAUSE / 3, 0)
    pause(relay, QUICK)
    assert marks(relay) == (MARK, 1)


@pytest.mark.parametrize("tls", [False, True])
def test_the_end_comes_at_once_while_a_mark_is_set(make_line: MakeLine, make_relay: MakeRelay, tls: bool) -> None:
    relay = tcp_relay(make_line, make_relay, tls)
    said = rush(relay)
    relay.source.peer.send(b"QUIT\r\n")
    relay.source.peer_ends()
    with socket.socket(fileno=os.dup(relay.source.peer.fileno())) as raw:
        raw.shutdown(socket.SHUT_WR)
    while not relay.told:
        relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close"]
    assert heard(relay.sink) == said + b"QUIT\r\n"
    assert relay.sink.peer.recv(1) == b""
    pause(relay)
    assert relay.told == ["half_close"]


def test_a_reset_comes_at_once_while_a_mark_is_set(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = tcp_relay(make_line, make_relay)
    rush(relay)
    with socket.socket(fileno=relay.source.peer.detach()) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    while not relay.told:
        relay.turn(WAIT_LIMIT)
    assert relay.told == ["lose_source"]
    pause(relay)


@both_ways
def test_a_peer_whose_other_has_ended_may_hurry_too(relay: Relay, writer: int) -> None:
    writers, readers = lines_of(relay, writer)
    readers.peer.send(b".")  # so that it awaits a reply
    readers.peer_ends()
    while not relay.told:
        relay.turn(WAIT_LIMIT)
    said = rush(relay, writer)
    assert mark_of(writers.fd) == MARK
    writers.peer.send(b"the last")
    pause(relay)
    assert mark_of(writers.fd) == 1
    writers.peer_ends()
    relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close", "finish"]
    assert heard(readers) == said + b"the last"


def test_a_limited_side_that_may_read_nothing_reads_nothing_after_the_pause(
    make_line: MakeLine, make_relay: MakeRelay
) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False), allowed=[400])
    said = rush(relay)
    assert marks(relay) == (MARK, 1)
    write(relay, bytes(100))
    assert len(heard(relay.sink)) == 400
    pause(relay)
    assert heard(relay.sink) == b""
    assert relay.events == (0, READ)
    assert marks(relay) == (1, 1)
    limited: LimitedSide = relay.sides[0]  # type: ignore[assignment] # that of the implementation
    limited.resume(1000)
    assert len(heard(relay.sink)) == len(said) + 100 - 400


def test_what_must_not_pass_is_refused_after_the_pause(make_line: MakeLine, implementation: Implementation) -> None:
    class Watching(Relay):
        def refuse(self) -> None:
            self.told.append("refuse")
            self.close()

    relay = Watching(make_line(tls=False), make_line(tls=False), implementation=implementation, watching=True)
    for _ in range(ENOUGH + 1):
        write(relay, b"NOOP\r\n")
    assert marks(relay) == (MARK, 1)
    relay.source.peer.send(b"UNAUTHENTICATE\r\n")
    pause(relay)
    assert relay.told == ["refuse"]
    assert heard(relay.sink) == b"NOOP\r\n" * (ENOUGH + 1)


def test_a_bug_after_the_pause_ends_this_relay_alone(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False), allowed=[1000, "much"])
    write(relay, bytes(1000 - len(rush(relay))))
    relay.source.peer.send(b"QUIT\r\n")
    pause(relay)
    assert relay.told == ["allow", "allow", "abort"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's seccomp")
def test_a_system_without_marks_is_asked_once(relay: Relay) -> None:
    if "socketcall" in numbers():
        pytest.skip("the C library sets options by another call")
    refused = [numbers()["setsockopt"]]
    child = os.fork()
    if not child:
        try:
            refuse(refused, errno.EPERM)
            said = rush(relay)
            undone = relay.loop.timers.delay(relay.loop.now)
            said += rush(relay)
            pause(relay)
            os._exit((undone, marks(relay), heard(relay.sink)) != (None, (1, 1), said))
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nothing_is_left_of_a_relay_that_was_closed_while_a_mark_was_set(
    make_line: MakeLine, implementation: Implementation
) -> None:
    relay = Relay(make_line(tls=True), make_line(tls=False), implementation=implementation)
    rush(relay)
    loop, side, gone, fresh = relay.loop, relay.sides[0], weakref.ref(relay), object()
    references = sys.getrefcount(side)
    gc.disable()
    try:
        relay.close()
        del relay
        assert gone() is None
        loop.now += PAUSE
        loop.timers.expire(loop.now)
    finally:
        gc.enable()
    assert sys.getrefcount(side) < references
    assert sys.getrefcount(side) == sys.getrefcount(fresh)
    assert loop.timers.delay(loop.now) is None


def test_a_descriptor_that_has_come_to_be_another_s_is_left_alone(relay: Relay) -> None:
    rush(relay)
    with socket.socket() as another:
        relay.close()
        with socket.socket(fileno=os.dup2(another.fileno(), relay.source.fd)) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 77)
            pause(relay)
            assert same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 77


def test_nothing_is_left_of_a_loop_that_ends_while_a_mark_is_set(
    make_line: MakeLine, implementation: Implementation
) -> None:
    relay = Relay(make_line(tls=False), make_line(tls=False), implementation=implementation)
    rush(relay)
    gone = weakref.ref(relay.loop)
    relay.close()
    del relay
    gc.collect()
    assert gone() is None


def test_gathering_again_and_again_leaves_nothing(relay: Relay) -> None:
    side = relay.sides[0]
    references = sys.getrefcount(side)
    for _ in range(20):
        said = rush(relay)
        assert heard(relay.sink) == said
        assert marks(relay) == (MARK, 1)
        pause(relay)
        assert marks(relay) == (1, 1)
    assert sys.getrefcount(side) == references
    assert relay.loop.timers.delay(relay.loop.now) is None
