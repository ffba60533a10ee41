"""The transport of a bare socket; what TLS gives is tested in tests/tls."""

from __future__ import annotations

import errno
import socket

import pytest

from mailworker.errors import ConnectionLost, Party
from mailworker.event.poller import READ, WRITE
from mailworker.event.transport import Plain

Pair = tuple[socket.socket, socket.socket]


def test_bytes_come_and_go(pair: Pair) -> None:
    plain = Plain(pair[0].fileno())
    assert plain.send(b"hello") == 5
    assert pair[1].recv(100) == b"hello"
    pair[1].send(b"good day")
    assert plain.recv(4) == b"good"
    assert plain.recv(100) == b" day"
    pair[1].close()
    assert plain.recv(100) == b""


def test_a_step_that_cannot_go_on_says_what_it_waits_for(pair: Pair) -> None:
    plain = Plain(pair[0].fileno())
    assert plain.recv(100) is READ
    while (sent := plain.send(bytes(65536))) is not WRITE:
        assert sent


@pytest.mark.parametrize("step", ["recv", "send"])
def test_a_failure_is_named(pair: Pair, step: str) -> None:
    plain = Plain(pair[0].fileno(), Party.BACKEND)
    pair[1].send(b"x")
    pair[0].shutdown(socket.SHUT_WR)
    pair[0].close()
    with pytest.raises(ConnectionLost) as caught:
        plain.recv(1) if step == "recv" else plain.send(b"x")
    assert (caught.value.party, caught.value.call, caught.value.errno) == (Party.BACKEND, f"{step}()", errno.EBADF)


def test_a_bare_socket_hides_no_input_and_has_no_goodbye_of_its_own(pair: Pair) -> None:
    plain = Plain(pair[0].fileno())
    pair[1].send(b"x")
    assert not plain.pending()
    plain.close_notify()
    assert plain.send(b"y") == 1
