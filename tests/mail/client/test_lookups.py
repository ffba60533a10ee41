"""What looking up the names of many clients costs the others."""

from __future__ import annotations

import threading

import pytest

from mailworker.config.resolver import ResolverSettings
from mailworker.event.datagrams import MOST_SOCKETS
from mailworker.mail.client.host import TEMPUNAVAIL
from mailworker.mail.server import ServerTls
from mailworker.mail.service import MailService
from mailworker.mail.targets import NamedTargets
from mailworker.model import InetAddress
from tests.mail.cases import SMTP
from tests.mail.client.test_host import HOST, POINTER, TIMEOUT, Case, held, resolver_settings
from tests.mail.conftest import Scene
from tests.support.daemon import wait_until
from tests.support.name_server import silence
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration, limit_tables, mail_server


def test_a_lookup_takes_none_of_the_worker_connections(scene: Scene) -> None:
    server = Case("", HOST).server(scene)
    proxy = scene.proxy("smtp", scene.auth(b""), worker_connections=2, resolver=resolver_settings(server))
    scene.client(proxy).expect(SMTP.greeting)
    assert len(server.asked) == 2


def test_clients_without_names_are_greeted_however_silent_name_servers_are(scene: Scene) -> None:
    """Each takes one of the connections, and other protocols have the rest."""
    server = scene.name_server({f"{i}.1.0.127.in-addr.arpa PTR": silence for i in range(1, 81)})
    proxy = scene.proxy("smtp", scene.auth(b""), worker_connections=100, resolver=resolver_settings(server))
    clients = [scene.client(proxy, source=f"127.0.1.{i}") for i in range(1, 81)]
    wait_until(lambda: len(server.asked) == 80, "a question for each client")
    assert len({asked.source for asked in server.asked}) <= MOST_SOCKETS
    proxy.connections_in_use(1 + 80)
    scene.skip(TIMEOUT + 1.0)
    for client in clients:
        client.expect(SMTP.greeting)


def test_clients_of_one_address_share_a_question(scene: Scene) -> None:
    release = threading.Event()
    server = Case("", HOST, pointer=held(release, POINTER)).server(scene)
    proxy = scene.proxy("smtp", scene.auth(b""), resolver=resolver_settings(server))
    clients = [scene.client(proxy) for _ in range(20)]
    proxy.connections_in_use(1 + 20)
    release.set()
    for client in clients:
        client.expect(SMTP.greeting)
    assert len(server.asked) == 2


def test_a_full_table_of_questions_costs_a_name_and_no_session(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.event.resolver.MOST_LOOKUPS", 0)
    backend = scene.backend(SMTP.script())
    auth = scene.auth_for(backend)
    proxy = scene.proxy("smtp", auth, resolver=resolver_settings(scene.name_server({})))
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.talk((SMTP.login, SMTP.answer))
    assert auth.header(b"Client-Host") == TEMPUNAVAIL
    assert proxy.log.find("could not be resolved (11: Resource temporarily unavailable)")


def test_sessions_share_what_was_found(scene: Scene) -> None:
    server = Case("", HOST).server(scene)
    proxy = scene.proxy("smtp", scene.auth(b""), resolver=resolver_settings(server))
    for _ in range(3):
        scene.client(proxy).expect(SMTP.greeting)
    assert len(server.asked) == 2


def test_smtp_servers_with_equal_directives_share_a_resolver() -> None:
    address = InetAddress("127.0.0.1", 53)
    one, same, other = (ResolverSettings((address,), timeout=timeout) for timeout in (1.0, 1.0, 2.0))
    servers = [mail_server("smtp", resolver=resolver) for resolver in (one, same, other, ResolverSettings())]
    servers.append(mail_server("imap", resolver=one))
    log = RecordedLog().log
    service = MailService(configuration(*servers), [], [ServerTls()] * 5, log, [log] * 5)
    service.prepare(limit_tables())
    resolvers = [server.client_resolver for server in service.servers]
    assert resolvers[0] is resolvers[1] is not None
    assert resolvers[2] not in (None, resolvers[0])
    assert resolvers[3:] == [None, None]


def test_names_of_clients_keep_out_no_names_of_backends() -> None:
    """They share neither the cache nor the table of questions."""
    settings = ResolverSettings((InetAddress("127.0.0.1", 53),))
    log = RecordedLog().log
    servers = [mail_server(protocol, resolver=settings) for protocol in ("smtp", "imap")]
    service = MailService(configuration(*servers), [], [ServerTls()] * 2, log, [log] * 2)
    service.prepare(limit_tables())
    smtp, imap = service.servers
    assert isinstance(smtp.targets, NamedTargets) and isinstance(imap.targets, NamedTargets)
    assert smtp.targets.resolver is imap.targets.resolver is not smtp.client_resolver
