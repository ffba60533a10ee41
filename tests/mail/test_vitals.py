"""The figures of a worker."""

from __future__ import annotations

import socket
import ssl
import time

import pytest

from mailworker.config.session_cache import SessionCache
from mailworker.config.zones import SharedZone
from mailworker.mail.counting import word
from mailworker.mail.vitals import CONNECTIONS, LAG, LOOKUPS, LOOP_LAG, MEMORY, STARTED
from mailworker.native.tls.tls_session_table import TlsSessionTable
from mailworker.shm.tls_sessions import TlsSessions
from tests.mail.cases import IMAP
from tests.mail.conftest import Scene
from tests.support.daemon import wait_until
from tests.support.proxy import Proxy
from tests.support.settings import NOWHERE, ssl_settings
from tests.tls.peers import client_context


def now(proxy: Proxy, *name: str) -> int:
    return proxy.counters.word_of(0, word(*name))


def looks(proxy: Proxy) -> int:
    return sum(now(proxy, LOOP_LAG, bucket) for bucket in (*map(repr, LAG), "+Inf"))


def test_connections_and_memory_of_a_worker_are_told_while_it_has_clients(scene: Scene) -> None:
    proxy = scene.proxy("imap", NOWHERE, counted=True)
    assert now(proxy, CONNECTIONS) == 1  # the listening socket
    assert now(proxy, MEMORY) > 1 << 20
    assert time.time() - 120 < now(proxy, STARTED) <= time.time()
    clients = [scene.client(proxy) for _ in range(3)]
    for client in clients:
        client.expect(IMAP.greeting)
    wait_until(lambda: now(proxy, CONNECTIONS) == 4, "three clients")
    for client in clients:
        client.close()
    wait_until(lambda: now(proxy, CONNECTIONS) == 1, "the last look")
    assert looks(proxy) > 0


def test_a_worker_without_clients_does_not_look(scene: Scene) -> None:
    proxy = scene.proxy("imap", NOWHERE, counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.close()
    wait_until(lambda: looks(proxy) > 0 and now(proxy, CONNECTIONS) == 1, "the last look")
    vitals = proxy.service._vitals
    assert vitals is not None
    wait_until(lambda: vitals.deadline == float("inf"), "rest")


def test_a_blocked_loop_is_late(scene: Scene) -> None:
    began = time.monotonic()
    proxy = scene.proxy("imap", NOWHERE, counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    proxy.call(lambda: time.sleep(1.4))  # the look is due meanwhile
    wait_until(lambda: now(proxy, LOOP_LAG, "sum") > 200_000, "a look that came too late")
    assert now(proxy, LOOP_LAG, "sum") < (time.monotonic() - began) * 1_000_000


@pytest.mark.parametrize("resumed", [True, False], ids=["found", "missed"])
def test_what_a_shared_cache_brings_is_told(scene: Scene, resumed: bool) -> None:
    zone = SharedZone("SSL", 1 << 20, "ssl_session_cache")
    cache = SessionCache(shared=zone)
    settings = ssl_settings(scene.certificate, session_cache=cache, session_tickets=False)
    memory = TlsSessions("SSL", 1 << 20).memory
    proxy = scene.proxy("imap", NOWHERE, counted=True, implicit_tls=True, ssl=settings)
    tls = proxy.service.servers[0].tls
    assert tls is not None
    tls.native.use_tls_session_table(TlsSessionTable(memory, 300))
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def visit(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(proxy.address) as plain,
            context.wrap_socket(plain, session=session) as client,
        ):
            assert client.recv(100) == IMAP.greeting
            assert client.session_reused == (resumed and session is not None)
            return client.session

    session = visit(None)
    if not resumed:
        memory[:] = bytes(len(memory))
    visit(session)
    wait_until(
        lambda: [now(proxy, LOOKUPS, "SSL", each) for each in ("hit", "miss")] == [resumed, not resumed], "a look"
    )
