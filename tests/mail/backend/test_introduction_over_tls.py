"""Backends behind STARTTLS that hear who the client is."""

from __future__ import annotations

import ssl

import pytest

from mailworker.config.proxy import ProxySettings
from tests.mail.cases import IMAP, POP3
from tests.mail.conftest import Scene
from tests.support.backend import ScriptedServer, conversation, echo
from tests.support.peer import Peer
from tests.support.settings import proxy_settings, proxy_ssl_settings


def context_of(scene: Scene) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scene.certificate.certificate, scene.certificate.key)
    return context


def greeted(scene: Scene, protocol: str, backend: ScriptedServer, settings: ProxySettings) -> Peer:
    """A client that has sent its login."""
    case = {"imap": IMAP, "pop3": POP3}[protocol]
    client = scene.client(scene.proxy(protocol, scene.auth_for(backend), proxy=settings))
    client.expect(case.greeting)
    client.send(case.login)
    return client


@pytest.mark.parametrize("listed", [b"* CAPABILITY IMAP4rev1\r\n", b"* CAPABILITY IMAP4rev1 ID\r\n"], ids=repr)
def test_what_an_imap_backend_lists_in_clear_decides_nothing_behind_tls(scene: Scene, listed: bytes) -> None:
    def script(peer: Peer) -> None:
        conversation(b"* OK [CAPABILITY IMAP4rev1 ID] backend\r\n", b"a1 OK go ahead\r\n", then=encrypted)(peer)

    def encrypted(peer: Peer) -> None:
        peer.serve_tls(context_of(scene))
        peer.line()
        told = (b"a1 OK told\r\n",) if b"ID" in listed else ()
        conversation(listed + b"a1 OK listed\r\n", *told, *IMAP.backend[1:], then=echo)(peer)

    backend = scene.backend(script)
    settings = proxy_settings(ssl=proxy_ssl_settings(starttls=True), imap_id=True)
    client = greeted(scene, "imap", backend, settings)
    client.expect(IMAP.answer)
    heard = backend.peer().received
    assert heard.startswith(b"a1 STARTTLS\r\na1 CAPABILITY\r\n")
    assert heard.endswith(IMAP.commands)
    assert heard.count(b"a1 ID (") == (b"ID" in listed)


def test_a_pop3_backend_hears_xclient_behind_tls_alone(scene: Scene) -> None:
    def script(peer: Peer) -> None:
        conversation(b"+OK [XCLIENT] backend\r\n", b"+OK go ahead\r\n", then=encrypted)(peer)

    def encrypted(peer: Peer) -> None:
        peer.serve_tls(context_of(scene))
        peer.line()
        conversation(b"+OK Updated\r\n", *POP3.backend[1:], then=echo)(peer)

    backend = scene.backend(script)
    settings = proxy_settings(ssl=proxy_ssl_settings(starttls=True), pop3_xclient=True)
    client = greeted(scene, "pop3", backend, settings)
    client.expect(POP3.answer)
    heard = backend.peer().received
    assert heard.startswith(b"STLS\r\nXCLIENT ADDR=127.0.0.1 ")
    assert heard.endswith(POP3.commands)
