"""The worker's service: its limit of connections, its listeners and its end."""

from __future__ import annotations

import threading

import pytest

from mailworker.config.access import ALL, Rule
from mailworker.mail.admission import AccessCheck
from mailworker.mail.limit_conn import ConnLimits
from mailworker.mail.limits.bans import BanCheck
from mailworker.model import Level
from tests.mail.cases import IMAP
from tests.mail.conftest import Scene
from tests.mail.crowds import limits
from tests.mail.limits.settings import limit
from tests.mail.limits.settings import settings as limit_auth
from tests.support.backend import hang
from tests.support.patience import PATIENCE

ALERT = "[alert] *1 2 worker_connections are not enough"


def test_clients_beyond_worker_connections_are_closed_at_once_and_told_of_once(scene: Scene) -> None:
    def alerts() -> list[str]:
        return [line for line in proxy.log.lines if line.startswith("[alert]")]

    proxy = scene.proxy("imap", scene.auth(hang), worker_connections=3)
    proxy.alerts_expected = True
    first, second, third, another = (scene.client(proxy) for _ in range(4))
    first.expect(IMAP.greeting)
    second.expect(IMAP.greeting)
    assert third.rest() == another.rest() == b""
    assert alerts() == ["[alert] 3 worker_connections are not enough"]
    second.close()
    first.talk((b"a NOOP\r\n", b"a OK completed\r\n"))
    proxy.connections_in_use(2)
    fourth = scene.client(proxy)
    fourth.expect(IMAP.greeting)
    assert scene.client(proxy).rest() == b""
    assert len(alerts()) == 2


def test_a_login_beyond_worker_connections_is_an_internal_error(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(hang), worker_connections=2)
    proxy.alerts_expected = True
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    assert client.rest() == IMAP.error
    assert proxy.log.find("[alert]").startswith(f"{ALERT} while in http auth state, client: 127.0.0.1, server: ")


def test_rules_are_checked_before_bans_and_these_before_connections_are_counted(scene: Scene) -> None:
    bans, counts = limit_auth(limit(ban=9.0)), limits(("a", "$remote_addr", 1), ("b", "$remote_user", 1))
    rules = (Rule(True, ALL),)
    service = scene.proxy("imap", scene.auth(hang), access=rules, limit_auth=bans, limit_conn=counts).service
    assert list(map(type, service._checks_of(service.servers[0]))) == [AccessCheck, BanCheck, ConnLimits]


def test_a_new_log_level_holds_for_the_next_clients(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(hang))
    counts = []
    done = threading.Semaphore(0)
    for level in (Level.ERROR, None, Level.ERROR, Level.INFO):

        def limit(level: Level | None = level) -> None:
            proxy.log.log.limit(level)
            proxy.service.follow_log_level()
            done.release()

        proxy.call(limit)
        assert done.acquire(timeout=PATIENCE)
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        counts.append(len([line for line in proxy.log.lines if "connected to" in line]))
    assert counts == [0, 1, 1, 2]
    assert len(proxy.service._beginnings._lobbies) == 1


def test_listeners_are_closed_first_and_relays_go_on(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    proxy = scene.proxy("imap", scene.auth_for(backend))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    done = threading.Semaphore(0)
    proxy.call(lambda: proxy.service.shutdown_gracefully(done.release))
    client.talk((b"one\r\n", b"one\r\n"))
    assert not done.acquire(timeout=0.05)
    client.end()
    assert done.acquire(timeout=PATIENCE)


@pytest.mark.parametrize(("worker_connections", "served"), [(512, 3), (5, 2)])
def test_clients_that_wait_at_the_end_are_served_if_they_can_be_logged_in(
    scene: Scene, worker_connections: int, served: int
) -> None:
    proxy = scene.proxy("imap", scene.auth(hang), worker_connections=worker_connections)
    done = threading.Semaphore(0)
    busy, come = threading.Event(), threading.Event()

    def shut_down() -> None:
        busy.set()
        assert come.wait(PATIENCE)  # nobody is accepted meanwhile
        proxy.service.shutdown_gracefully(done.release)

    proxy.call(shut_down)
    assert busy.wait(PATIENCE)
    clients = [scene.client(proxy) for _ in range(3)]
    come.set()
    for client in clients[:served]:
        client.expect(IMAP.greeting)
    for client in clients:
        client.close()
    assert done.acquire(timeout=PATIENCE)
    assert len([line for line in proxy.log.lines if "connected to" in line]) == served


def test_done_is_called_once_when_the_last_session_has_ended(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(hang))
    done = threading.Semaphore(0)
    proxy.call(lambda: proxy.service.shutdown_gracefully(done.release))
    assert done.acquire(timeout=PATIENCE)
    assert not done.acquire(timeout=0.05)
