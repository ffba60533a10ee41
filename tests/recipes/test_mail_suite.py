"""The front of a mail suite serves each port, and tells the service which one it was."""

from __future__ import annotations

import pytest

from mailworker.model import InetAddress
from tests.mail.cases import SIEVE
from tests.recipes.conftest import Run
from tests.recipes.stage import Backend, Recipe, credentials, imap_login, smtp_login
from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer
from tests.support.certificates import Certificate
from tests.support.peer import Peer
from tests.tls.peers import client_context


@pytest.fixture
def recipe(run: Run, auth: AuthService, certificate: Certificate) -> Recipe:
    return run(
        "mail-suite.md",
        {
            "127.0.0.1:8000": str(auth.address),
            "127.0.0.11 ipv6=off": "127.0.0.1:9 ipv6=off",
            "valid=30s;": "valid=30s; resolver_timeout 1ms;",
            "/certs/cert.pem": str(certificate.certificate),
            "/certs/key.pem": str(certificate.key),
        },
    )


def leads_to(auth: AuthService, backend: InetAddress) -> None:
    auth.prepare(accepted(backend))


@pytest.mark.parametrize(("port", "starttls"), [(993, False), (143, True)])
def test_users_read_by_imap(recipe: Recipe, auth: AuthService, imap: Backend, port: int, starttls: bool) -> None:
    leads_to(auth, imap.address)
    client = recipe.connect(port, tls=not starttls)
    if starttls:
        client.line()
        client.talk((b"a STARTTLS\r\n", b"a OK completed\r\n"))
        client.start_tls(client_context())
        client.send(b"a LOGIN anna@example.com secret\r\n")
        assert client.line() == b"a OK done by IMAP\r\n"
    else:
        assert imap_login(client, b"anna@example.com", b"secret") == b"a OK done by IMAP\r\n"
    assert auth.header(b"Auth-Port") == b"%d" % port
    assert auth.header(b"Client-Port") == b"%d" % client.address[1]
    client.close()


def test_users_send(recipe: Recipe, auth: AuthService, smtp: Backend) -> None:
    leads_to(auth, smtp.address)
    client = recipe.connect(465)
    assert smtp_login(client, b"anna@example.com", b"secret").startswith(b"235 ")
    assert auth.header(b"Auth-Port") == b"465"
    assert auth.header(b"Auth-Method") == b"plain"
    assert b"LOGIN=anna@example.com" in smtp.said()
    client.close()


def test_other_servers_deliver(recipe: Recipe, auth: AuthService, smtp: Backend) -> None:
    leads_to(auth, smtp.address)
    client = recipe.connect(25, tls=False)
    client.line()
    client.send(b"EHLO mx.example.net\r\n")
    while not client.line().startswith(b"250 "):
        pass
    client.talk((b"MAIL FROM:<a@example.net>\r\n", b"250 2.0.0 OK\r\n"))
    client.send(b"RCPT TO:<anna@example.com>\r\n")
    assert client.line().startswith(b"250 ")
    assert auth.header(b"Auth-Method") == b"none"
    assert auth.header(b"Auth-Port") == b"25"
    assert auth.header(b"Auth-SMTP-To") == b"RCPT TO:<anna@example.com>"
    client.close()


def test_the_webmail_needs_no_tls(recipe: Recipe, auth: AuthService, imap: Backend) -> None:
    leads_to(auth, imap.address)
    client = recipe.connect(10143, tls=False)
    assert imap_login(client, b"anna@example.com", b"secret") == b"a OK done by IMAP\r\n"
    assert auth.header(b"Auth-Port") == b"10143"
    client.close()


def test_users_edit_filters(recipe: Recipe, auth: AuthService) -> None:
    backend = ScriptedServer(SIEVE.script())
    leads_to(auth, backend.address)
    client = recipe.connect(4190, tls=False)
    client.until(b'OK "ManageSieve ready."\r\n')
    client.talk((b"STARTTLS\r\n", b'OK "Begin TLS negotiation now."\r\n'))
    client.start_tls(client_context())
    greeting = client.until(b'OK "ManageSieve ready."\r\n')
    assert b'"SIEVE" "fileinto reject envelope vacation"' in greeting
    client.send(b'AUTHENTICATE "PLAIN" "%b"\r\n' % credentials(b"user@example.com", b"secret"))
    assert client.line() == b'OK "Logged in."\r\n'
    assert auth.header(b"Auth-Protocol") == b"sieve"
    client.close()
    backend.stop()


@pytest.mark.parametrize(("port", "words"), [(110, b"-ERR "), (587, b"500 "), (143, b"a BAD ")])
def test_nobody_logs_in_in_clear(recipe: Recipe, port: int, words: bytes) -> None:
    client: Peer = recipe.connect(port, tls=False)
    client.line()
    if port == 587:
        client.send(b"EHLO a\r\n")
        while not client.line().startswith(b"250 "):
            pass
    client.send(
        {110: b"USER anna\r\n", 587: b"AUTH PLAIN %b\r\n" % credentials(b"a", b"b"), 143: b"a LOGIN a b\r\n"}[port]
    )
    assert client.line().startswith(words)
    client.close()
