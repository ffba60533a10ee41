"""The request to the login source: its contents, and who is told of it."""

from __future__ import annotations

import threading

import pytest

from mailworker.model import AuthMethod, Level
from tests.mail.cases import IMAP, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import accepted, rejected, wait
from tests.support.patience import PATIENCE
from tests.support.proxy import Proxy
from tests.support.recorded_log import RecordedLog
from tests.support.settings import dialogue_settings
from tests.tls.peers import client_context


@all_protocols
def test_the_auth_service_is_asked_as_nginx_asks(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend)
    client = scene.client(scene.proxy(case.protocol, auth))
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    host = b"Client-Host: [UNAVAILABLE]\r\n" if case is SMTP else b""
    assert auth.requests == [
        b"GET /auth HTTP/1.0\r\nHost: auth.example.com\r\nAuth-Method: plain\r\nAuth-User: user@example.com\r\n"
        b"Auth-Pass: secret\r\nAuth-Protocol: %b\r\nAuth-Login-Attempt: 1\r\nClient-IP: 127.0.0.1\r\n%b\r\n"
        % (case.protocol.encode(), host)
    ]


def test_wait_asks_again_with_what_the_service_said(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    again = wait(b"1000", (b"Auth-User", b"mailbox"), (b"Auth-Pass", b"other"))
    auth = scene.auth(again, accepted(backend.address))
    proxy = scene.proxy("imap", auth)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    auth.peer()
    proxy.connections_in_use(2)
    scene.skip(1050.0)
    client.expect(IMAP.answer)
    assert [auth.header(b"Auth-User", number) for number in (0, 1)] == [b"user@example.com", b"mailbox"]
    assert [auth.header(b"Auth-Pass", number) for number in (0, 1)] == [b"secret", b"other"]
    assert [auth.header(b"Auth-Login-Attempt", number) for number in (0, 1)] == [b"1", b"1"]
    assert backend.peer().received == b"a1 LOGIN {7}\r\nmailbox {5}\r\nother\r\n"
    assert ', login: "mailbox"' in proxy.log.find("client logged in")


def test_the_service_hears_of_the_tls_of_a_client_without_a_login(scene: Scene) -> None:
    auth = scene.auth(rejected(b"Greylisted", (b"Auth-Error-Code", b"451 4.7.1")))
    dialogue = dialogue_settings("smtp", auth=AuthMethod.NONE)
    client = scene.client(scene.tls_proxy("smtp", auth, implicit_tls=True, dialogue=dialogue))
    client.start_tls(client_context())
    client.expect(SMTP.greeting)
    client.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
    client.expect(b"250 2.0.0 OK\r\n451 4.7.1 Greylisted\r\n")
    assert auth.header(b"Auth-Method") == b"none"
    assert (auth.header(b"Auth-SSL"), auth.header(b"Auth-SSL-Protocol")) == (b"on", b"TLSv1.3")


def limit(proxy: Proxy, level: Level) -> None:
    """Set the level of its log."""
    done = threading.Event()

    def limit() -> None:
        proxy.log.log.limit(level)
        proxy.service.follow_log_level()
        done.set()

    proxy.call(limit)
    assert done.wait(PATIENCE)


def test_a_client_that_was_there_before_is_logged_as_the_log_demands_by_then(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordedLog, "level", Level.DEBUG)
    backend = scene.backend(IMAP.script())
    proxy = scene.proxy("imap", scene.auth_for(backend))
    limit(proxy, Level.ERROR)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((b"a0 WHAT\r\n", b"a0 BAD invalid command\r\n"))
    limit(proxy, Level.DEBUG)
    client.talk((IMAP.login, IMAP.answer))
    assert [line.split()[0] for line in (proxy.log.find("asking "), proxy.log.find("client logged in"))] == [
        "[debug]",
        "[info]",
    ]


def test_the_next_login_is_logged_as_the_log_demands_by_then(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordedLog, "level", Level.DEBUG)
    backend = scene.backend(IMAP.script())
    proxy = scene.proxy("imap", scene.auth_for(backend))
    said = []
    for level in (Level.ERROR, Level.DEBUG, Level.INFO):
        before = len(proxy.log.lines)
        limit(proxy, level)
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, IMAP.answer), (b"one\r\n", b"one\r\n"))
        lines = proxy.log.lines[before:]
        said.append(tuple(any(words in line for line in lines) for words in ("asking ", "client logged in")))
    assert said == [(False, False), (True, True), (False, True)]
