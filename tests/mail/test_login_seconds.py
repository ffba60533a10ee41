"""Where the time of the auth service ends, and that of the backend begins."""

from __future__ import annotations

import threading

import pytest

from mailworker.config.proxy_pass import ProxyPass
from mailworker.mail.counting import word
from mailworker.model import InetAddress
from mailworker.variables.template import parse
from tests.mail.cases import IMAP
from tests.mail.conftest import Scene
from tests.support.auth import response
from tests.support.backend import echo
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.settings import proxy_settings


@pytest.mark.parametrize("several", [False, True], ids=["one address", "several"])
def test_the_time_of_a_login_at_its_backend_begins_when_it_is_allowed(scene: Scene, several: bool) -> None:
    backend, may = scene.backend(IMAP.script(echo)), threading.Event()
    addresses = (backend.address, InetAddress("127.0.0.2", backend.address.port))[: 1 + several]

    def allow(peer: Peer) -> None:
        assert may.wait(PATIENCE)
        peer.send(response((b"Auth-Status", b"OK")))

    auth = scene.auth(allow)
    proxy_pass = proxy_settings(backend=ProxyPass(parse(b"host:143"), addresses))
    proxy = scene.proxy("imap", auth, proxy=proxy_pass, auth_timeout=1000.0, timeout=1000.0, counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    auth.peer()
    scene.skip(500.0)
    may.set()
    client.expect(IMAP.answer)
    client.end()
    proxy.service_is_idle()
    totals = proxy.counters.read().totals
    assert totals[word("auth_seconds", "http", "sum")] >= 500_000_000
    assert totals[word("login_seconds", "imap", "sum")] < 60_000_000
