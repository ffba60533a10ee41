"""The pipe that all relays of a loop share."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from mailworker.event.poller import READ
from tests.event.relays import CHUNK, MakeLine, MakeRelay, Relay
from tests.support.implementations import Implementation


def _pipes() -> set[int]:
    return {int(entry.name) for entry in Path("/dev/fd").iterdir() if entry.is_fifo()}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone splices")
def test_what_a_pipe_does_not_give_back_goes_to_no_other_relay(
    make_line: MakeLine, make_relay: MakeRelay, implementation: Implementation
) -> None:
    before = _pipes()
    relay = make_relay(make_line(tls=False), make_line(tls=False))
    pipe = sorted(_pipes() - before)
    if implementation.name == "Python":
        assert not pipe  # it copies
        relay.close()
        return
    reading, writing = pipe
    kept = os.dup(reading)
    os.dup2(writing, reading)  # nobody can read from it
    relay.source.peer.send(bytes(3 * CHUNK))
    relay.sides[0].ready(READ)
    assert [getattr(failure, "errno", None) for failure in relay.failures] == [errno.EIO]
    os.dup2(kept, reading)
    relay.close()
    other = Relay(make_line(tls=False), make_line(tls=False), implementation=implementation, beside=relay)
    said = 3 * CHUNK * b"x"
    other.source.peer.send(said)
    other.sides[0].ready(READ)
    assert other.sink.peer_receives(2 * len(said)) == said
    other.close()
    for end in (reading, kept):
        os.close(end)
