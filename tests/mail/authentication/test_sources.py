"""A login source of a test's own: a row of the table, and nothing else is edited."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mailworker.config.resolver import ResolverSettings
from mailworker.config.settings import MailServer
from mailworker.errors import Party, ProtocolError
from mailworker.event.plan import Link
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.authentication.source import Applicant, LoginSource
from mailworker.mail.authentication.sources import LOGIN_SOURCES, Means, login_source
from mailworker.mail.end import End
from mailworker.mail.server import Memories
from mailworker.model import Address, InetAddress
from mailworker.variables.template import parse
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected
from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import AuthService
from tests.support.backend import hang
from tests.support.patience import PATIENCE
from tests.support.proxy import Proxy
from tests.support.settings import auth_http_settings, mail_server

HERE = b"one.example.com"  # the server_name of servers that the row is for


class OneUser:
    """Lets one user in, at one backend; for the user "nobody" it gives no verdict."""

    kind = "one"
    name = "one user"
    action = "in auth state"
    authzid = False

    def __init__(self, backend: Address) -> None:
        self._backend = backend
        self.closed = False

    async def judge(self, request: AuthRequest, applicant: Applicant) -> Link:
        if request.login.name == b"nobody":
            raise ProtocolError(Party.AUTH_SERVICE, "knows nobody")
        await applicant.pause(0.01)
        known = request.login.name == b"user@example.com"
        return applicant.judged(Accepted(self._backend) if known else Rejected(b"Who are you?"))

    def close(self) -> None:
        self.closed = True


def proxy_with(scene: Scene, source: OneUser, monkeypatch: pytest.MonkeyPatch, case: Case = IMAP) -> Proxy:
    """A proxy whose source is made by a row of the table; its auth service would only hang."""
    use(source, monkeypatch)
    return scene.proxy(case.protocol, scene.auth(hang), server_name=HERE)


def use(source: OneUser, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(settings: MailServer, _means: Means) -> LoginSource | None:
        return source if settings.server_name == HERE else None

    monkeypatch.setattr("mailworker.mail.authentication.sources.LOGIN_SOURCES", (make, *LOGIN_SOURCES))


@all_protocols
def test_a_source_of_the_table_lets_in(scene: Scene, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    backend = scene.backend(case.script())
    source = OneUser(backend.address)
    proxy = proxy_with(scene, source, monkeypatch, case)
    client = scene.client(proxy)
    client.line()
    client.talk((case.login, case.answer), (b"one\r\n", b"one\r\n"))
    client.end()
    done = threading.Event()
    proxy.call(lambda: proxy.service.shutdown_gracefully(done.set))
    assert done.wait(PATIENCE)
    assert source.closed
    assert [record.reason for record in proxy.ended] == [End.CLIENT_CLOSED]


def test_a_source_of_the_table_sends_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = proxy_with(scene, OneUser(InetAddress("127.0.0.1", 1)), monkeypatch)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((b"a LOGIN eve secret\r\n", b"a NO Who are you?\r\n"))
    line = proxy.log.find("login failed")
    assert line.startswith('[info] *1 client login failed: "Who are you?" while in auth state, client: 127.0.0.1, ')


def test_a_source_of_the_table_may_fail(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = proxy_with(scene, OneUser(InetAddress("127.0.0.1", 1)), monkeypatch)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(b"a LOGIN nobody secret\r\n")
    assert client.rest() == IMAP.error
    assert proxy.log.find("nobody").startswith("[error] *1 auth http server one user knows nobody while in auth state")
    proxy.service_is_idle()
    assert [record.reason for record in proxy.ended] == [End.AUTH_ERROR]


def test_servers_that_a_row_is_not_for_ask_the_next(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    use(OneUser(InetAddress("127.0.0.1", 1)), monkeypatch)
    backend = scene.backend(IMAP.script())
    auth: AuthService = scene.auth_for(backend)
    client = scene.client(scene.proxy(IMAP.protocol, auth))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    assert len(auth.requests) == 1


_SOURCE = auth_http_settings()


@pytest.mark.parametrize(
    ("changes", "with_first", "with_equal"),
    [
        ({}, True, True),
        ({"server_name": b"two.example.com"}, True, True),
        ({"source": replace(_SOURCE, timeout=2.0)}, False, True),
        ({"resolver": ResolverSettings((InetAddress("127.0.0.1", 53),))}, False, True),
        ({"source": replace(_SOURCE, keepalive=1)}, False, False),
        ({"source": replace(_SOURCE, headers=((b"X-Host", parse(b"$server_addr")),))}, False, False),
    ],
)
def test_servers_that_ask_a_service_alike_share_it_unless_it_keeps_connections_or_asks_with_variables(
    changes: Mapping[str, Any], with_first: bool, with_equal: bool
) -> None:
    memories = Memories()
    means = Means(Refusals(), (), answers=memories.answers, services=memories.services)
    first = login_source(mail_server("imap", source=_SOURCE), means)
    one, equal = (login_source(mail_server("imap", **{"source": _SOURCE, **changes}), means) for _ in range(2))
    assert (one is first, one is equal) == (with_first, with_equal)
