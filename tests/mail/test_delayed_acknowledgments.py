"""Nothing small that is sent waits for the acknowledgment of what was sent before (Nagle's algorithm, TCP_NODELAY)."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from mailworker.model import InetAddress
from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import accepted
from tests.support.backend import echo, hang
from tests.support.peer import Peer
from tests.support.settings import auth_http_settings


def waits(address: InetAddress) -> bool:
    """Whether the only connection from here to `address` waits for acknowledgments: TCP_NODELAY is off."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            connection = socket.socket(fileno=int(entry.name))
            with suppress(OSError):  # it has no peer
                if connection.getpeername() == (address.host, address.port):
                    found.append(not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            connection.detach()
    (answer,) = found
    return answer


@all_protocols
def test_what_a_client_sends_to_its_backend_does_not_wait(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script(echo))
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend)))
    client.expect(case.greeting)
    client.talk((case.login, case.answer), (b"one\r\n", b"one\r\n"))
    assert not waits(backend.address)


@all_protocols
def test_what_a_backend_sends_to_its_client_does_not_wait(scene: Scene, case: Case) -> None:
    client = scene.client(scene.proxy(case.protocol, scene.auth(hang)))
    client.expect(case.greeting)
    assert not waits(InetAddress(*client.address))


@pytest.mark.parametrize("size", [100, 5000])
def test_the_end_of_a_long_question_does_not_wait(scene: Scene, size: int) -> None:
    """A short one is one segment, before which there was nothing."""
    waited: list[bool] = []

    def look(peer: Peer) -> None:
        waited.append(waits(auth.address))
        peer.send(accepted(backend.address))

    backend = scene.backend(IMAP.script())
    auth = scene.auth(look)
    settings = auth_http_settings(auth.address, headers=((b"X-Long", b"x" * size),))
    client = scene.client(scene.proxy(IMAP.protocol, auth, source=settings))
    client.talk((b"", IMAP.greeting), (IMAP.login, IMAP.answer))
    assert waited == [size < 1000]
