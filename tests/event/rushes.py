"""Peers that write small pieces in quick succession, by the clock of a loop that a test turns by hand."""

from __future__ import annotations

import os
import socket
import sys
from fcntl import ioctl
from select import select
from termios import FIONREAD

import pytest

from mailworker.event import sockets
from mailworker.event.poller import READ
from tests.event.relays import Line, MakeLine, MakeRelay, Relay
from tests.support.daemon import wait_until

ENOUGH, SMALL, MARK = 32, 512, 2048
QUICK, SLOW = 0.00004, 0.0002
PAUSE = 0.0021  # with the width of the timer
WAIT_LIMIT = 10.0
both_ways = pytest.mark.parametrize("writer", [0, 1], ids=["from the client", "from the backend"])


def mark_of(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as same:
        return same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


def marks(relay: Relay) -> tuple[int, int]:
    return mark_of(relay.source.fd), mark_of(relay.sink.fd)


def lines_of(relay: Relay, writer: int) -> tuple[Line, Line]:
    """The writer's line and the reader's."""
    return (relay.sink, relay.source) if writer else (relay.source, relay.sink)


def write(relay: Relay, data: bytes, pause: float = QUICK, writer: int = 0) -> None:
    """A piece that comes `pause` seconds after what was last, and what is done about it."""
    line, _ = lines_of(relay, writer)
    line.peer.sendall(data)
    assert select([line.fd], [], [], WAIT_LIMIT)[0]
    relay.loop.now += pause
    relay.sides[writer].ready(READ)


def rush(relay: Relay, writer: int = 0, pieces: int = ENOUGH) -> bytes:
    """The first piece follows nothing."""
    write(relay, b"first", SLOW, writer)
    for number in range(pieces):
        write(relay, b"line %03d\r\n" % number, QUICK, writer)
    return b"first" + b"".join(b"line %03d\r\n" % number for number in range(pieces))


def pause(relay: Relay, seconds: float = PAUSE) -> None:
    relay.loop.now += seconds
    relay.loop.timers.expire(relay.loop.now)


def heard(line: Line) -> bytes:
    data = b""
    while more := line.peer_receives(65536):
        data += more
    return data


def tcp_relay(make_line: MakeLine, make_relay: MakeRelay, tls: bool = False) -> Relay:
    """From a client whose TCP does not gather anything itself."""
    relay = make_relay(make_line(tls=tls, tcp=True), make_line(tls=False))
    sockets.no_delay(relay.source.peer.fileno())
    return relay


def arrived(line: Line, size: int) -> None:
    """Wait until `size` bytes are in our socket, whether they are reported or not."""
    wait_until(lambda: ioctl(line.fd, FIONREAD, bytes(4)) == size.to_bytes(4, sys.byteorder), f"{size} bytes")


def sealed(line: Line, message: bytes) -> bytes:
    """The record that the line's peer, on TCP, sends for `message`, which is taken from our socket."""
    line.peer.send(message)
    with socket.socket(fileno=os.dup(line.fd)) as ours:
        wait_until(lambda: ioctl(ours, FIONREAD, bytes(4)) != bytes(4), "the record")
        return ours.recv(MARK)
