"""The master keeps what lies in channels until somebody has taken it."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from mailworker.process.channels import Channels, close_ends, open_channels, receive
from mailworker.process.cycle import Cycle
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration

WORKER = 4711
WMEM_MAX = Path("/proc/sys/net/core/wmem_max")


def new_cycle() -> Cycle:
    return Cycle(configuration(), (), RecordedLog().log)


def kept(cycle: Cycle, channels: Channels, worker: int = WORKER) -> socket.socket:
    """The worker's end of a channel to the helper "h"."""
    theirs, own = open_channels(["h"])
    channels.keep(cycle, worker, theirs)
    return own["h"]


def test_a_worker_is_never_kept_waiting() -> None:
    theirs, own = open_channels(["h"])
    with pytest.raises(BlockingIOError):
        while True:
            own["h"].send(b"x" * 300)
    close_ends((*theirs.values(), *own.values()))


@pytest.mark.skipif(not WMEM_MAX.exists(), reason="Linux has a limit for users other than root")
def test_a_channel_holds_thousands_of_lines_or_what_the_system_allows() -> None:
    most = 4 << 20
    theirs, own = open_channels(["h"])
    sizes = {end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2 for end in (theirs["h"], own["h"])}  # doubled
    assert sizes in ({most}, {min(most, int(WMEM_MAX.read_text()))})
    close_ends((*theirs.values(), *own.values()))


def test_none_stays_open_where_the_system_has_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    pair = socket.socketpair

    def limited(*kind: int) -> tuple[socket.socket, socket.socket]:
        if len(made) == 4:
            raise OSError(errno.EMFILE, "")
        made.extend(pair(*kind))
        return made[-2], made[-1]

    monkeypatch.setattr(socket, "socketpair", limited)
    with pytest.raises(OSError, match="24"):
        open_channels("abc")
    assert [end.fileno() for end in made] == [-1] * 4


def test_a_helper_inherits_the_channels_of_its_cycle_alone() -> None:
    cycle, channels = new_cycle(), Channels()
    own = kept(cycle, channels), kept(new_cycle(), channels)
    own[0].send(b"mine")
    (end,) = channels.of(cycle, "h")
    assert end.recv(10) == b"mine"
    assert channels.of(cycle, "other") == ()
    close_ends(own)
    channels.close()


def test_a_running_helper_is_given_each_once_as_soon_as_it_has_room() -> None:
    cycle, channels, sent = new_cycle(), Channels(), list[socket.socket]()

    def take(end: socket.socket) -> bool:
        sent.append(end)
        return True

    own = [kept(cycle, channels)]
    channels.given(cycle, "h")  # it was forked with that
    own.append(kept(cycle, channels))
    assert not channels.give(cycle, "h", lambda _end: False)
    for _ in range(2):
        assert channels.give(cycle, "h", take)
    assert sent == [channels.of(cycle, "h")[1]]
    close_ends(own)
    channels.close()


def test_what_a_dead_worker_has_sent_stays_until_it_is_taken() -> None:
    cycle, channels = new_cycle(), Channels()
    with kept(cycle, channels) as own:
        own.send(b"last words")
    channels.end(WORKER)
    (end,) = channels.of(cycle, "h")
    assert end.recv(100) == b"last words"
    channels.end(WORKER)
    assert channels.of(cycle, "h") == ()
    assert end.fileno() == -1


def test_an_empty_channel_goes_with_its_worker_whoever_else_has_its_end() -> None:
    cycle, channels = new_cycle(), Channels()
    with kept(cycle, channels):
        channels.end(WORKER)
        assert channels.of(cycle, "h") == ()


def test_a_worker_that_goes_with_answers_unread_is_still_heard() -> None:
    cycle, channels = new_cycle(), Channels()
    with kept(cycle, channels) as own:
        (end,) = channels.of(cycle, "h")
        end.send(b"unread")
        own.send(b"last words")
    channels.end(WORKER)
    buffer = bytearray(100)
    assert buffer[: receive(end, buffer)] == b"last words"
    assert receive(end, buffer) == 0
    channels.close()


def test_what_nobody_will_take_is_given_up() -> None:
    cycle, channels = new_cycle(), Channels()
    with kept(cycle, channels) as own, kept(cycle, channels, worker=4712):
        own.send(b"last words")
    channels.end(WORKER)
    channels.drop(cycle, "h")
    assert len(channels.of(cycle, "h")) == 1  # that of the worker that lives
    channels.close()


def test_a_child_gives_back_all_that_is_not_its_own() -> None:
    cycle, channels = new_cycle(), Channels()
    own = kept(cycle, channels), kept(new_cycle(), channels)
    (mine,) = channels.of(cycle, "h")
    channels.close(but=[mine])
    own[0].send(b"heard")
    assert mine.recv(10) == b"heard"
    with pytest.raises(BrokenPipeError):
        own[1].send(b"unheard")
    close_ends((*own, mine))
