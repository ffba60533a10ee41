"""How a relay ends: at once, or over TLS where the client's socket has no room for a close_notify."""

from __future__ import annotations

import socket
from select import select

import pytest

from mailworker.event.poller import READ, WRITE
from tests.event.relays import MakeLine, MakeRelay, Relay

WAIT_LIMIT = 10.0


def fill_with_records(relay: Relay) -> int:
    """Let the sink send until the source's socket takes no more, with nothing kept; how many bytes are unread.

    Small records go one by one, so one that is read makes room for one.
    """
    sent = 0
    assert relay.source.peer_receives(1) is None  # but for tickets
    while not relay.sides[1].pending:
        sent += relay.sink.peer.send(b".")
        relay.turn()
    assert relay.source.peer_receives(1)
    relay.sides[0].ready(WRITE)
    assert not relay.sides[1].pending
    return sent - 1


@pytest.fixture
def filled(make_line: MakeLine, make_relay: MakeRelay) -> tuple[Relay, int]:
    """A client over TLS whose socket has no room just now, its backend, and how many bytes the client has not read."""
    relay = make_relay(make_line(tls=True, buffer=4096), make_line(tls=False))
    relay.source.peer.send(b".")  # so that it awaits a reply
    relay.turn(WAIT_LIMIT)
    assert relay.sink.peer_receives(2) == b"."
    return relay, fill_with_records(relay)


def read_late(relay: Relay, unread: int) -> None:
    """Let the client read all that there is, up to a close_notify."""
    while (data := relay.source.peer_receives(65536)) != b"":
        unread -= len(data or b"")
        relay.turn()
    assert unread == 0


def test_close_notify_waits_for_room(filled: tuple[Relay, int]) -> None:
    relay, unread = filled
    client, backend = relay.source, relay.sink
    backend.peer_ends()
    relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close"]
    assert relay.loop.watched == {client.fd: READ | WRITE}
    assert not select([], [client.fd], [], 0)[1]  # so nobody is called in vain
    read_late(relay, unread)
    assert relay.loop.watched == {client.fd: READ}
    client.peer.send(b"a LOGOUT\r\n")
    client.peer_ends()
    while len(relay.told) < 2:
        relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close", "finish"]
    assert backend.peer_receives(100) == b"a LOGOUT\r\n"


def end_both(relay: Relay) -> None:
    """The client first, by a FIN: ssl's own end would want to read."""
    socket.socket.shutdown(relay.source.peer, socket.SHUT_WR)
    relay.turn(WAIT_LIMIT)
    relay.sink.peer_ends()
    relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close"]
    assert relay.loop.watched == {relay.source.fd: WRITE}


def test_a_relay_is_over_when_the_last_goodbye_is_said(filled: tuple[Relay, int]) -> None:
    relay, unread = filled
    end_both(relay)
    assert relay.sink.peer_receives(1) == b""
    read_late(relay, unread)
    assert relay.told == ["half_close", "finish"]


def test_a_client_that_goes_before_it_has_heard_our_goodbye(filled: tuple[Relay, int]) -> None:
    relay, _ = filled
    end_both(relay)
    relay.source.peer.close()
    relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close", "finish"]


@pytest.mark.parametrize("sink_tls", [False, True])
@pytest.mark.parametrize("source_tls", [False, True])
def test_the_end_of_a_peer_that_awaits_nothing_is_that_of_both(
    make_line: MakeLine, make_relay: MakeRelay, source_tls: bool, sink_tls: bool
) -> None:
    relay = make_relay(make_line(tls=source_tls), make_line(tls=sink_tls))
    relay.sink.peer.send(b"a OK\r\n")
    relay.turn(WAIT_LIMIT)
    assert relay.source.peer_receives(100) == b"a OK\r\n"
    relay.source.peer_ends()
    while not relay.told:
        relay.turn(WAIT_LIMIT)
    assert relay.told == ["finish"]
    assert [side.ended for side in relay.sides] == [1, 0]
    relay.close()
    assert relay.sink.peer_receives(1) == b""


def test_a_peer_that_has_not_got_all_yet_awaits_it(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False, buffer=4096), make_line(tls=False))
    while not relay.sides[1].pending:
        relay.sink.peer_sends(memoryview(bytes(4096)))
        relay.turn()
    relay.source.peer_ends()
    relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close"]
