"""`proxy_socket_keepalive`: whether the kernel looks after a silent backend."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from mailworker.model import InetAddress
from tests.mail.cases import Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.settings import proxy_settings


def kept_alive(backend: InetAddress) -> list[bool]:
    """Whether keep-alive is on, for each of our connections to `backend`."""
    found = []
    for entry in [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_socket()]:
        with suppress(OSError), socket.fromfd(int(entry.name), socket.AF_INET, socket.SOCK_STREAM) as ours:
            if ours.getpeername() == (backend.host, backend.port):
                found.append(bool(ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)))
    return found


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
@all_protocols
def test_a_backend_is_kept_alive_where_that_is_wanted(scene: Scene, case: Case, on: bool) -> None:
    backend = scene.backend(case.script())
    proxy = scene.proxy(case.protocol, scene.auth_for(backend), proxy=proxy_settings(socket_keepalive=on))
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    assert kept_alive(backend.address) == [on]
