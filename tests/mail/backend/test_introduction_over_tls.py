"""Backends behind STARTTLS that hear who the client is."""

from __future__ import annotations

import ssl

import pytest

from mailworker.config.proxy import ProxySettings
from tests.mail.cases import IMAP, LITERAL_PLUS, POP3, Case
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


# What an IMAP backend lists in clear, and must not be believed behind TLS.
IN_CLEAR = b"* OK [CAPABILITY IMAP4rev1 ID LITERAL+] backend\r\n", b"a1 OK go ahead\r\n"


def imap_backend(scene: Scene, *replies: bytes) -> ScriptedServer:
    """A backend that greets in clear, and gives these replies behind TLS."""

    def encrypted(peer: Peer) -> None:
        peer.serve_tls(context_of(scene))
        peer.line()
        conversation(*replies, then=echo)(peer)

    return scene.backend(conversation(*IN_CLEAR, then=encrypted))


@pytest.mark.parametrize("case", [IMAP, LITERAL_PLUS], ids=["in pieces", "at once"])
@pytest.mark.parametrize("listed", [b"* CAPABILITY IMAP4rev1", b"* CAPABILITY IMAP4rev1 ID"], ids=repr)
def test_what_an_imap_backend_lists_in_clear_decides_nothing_behind_tls(
    scene: Scene, listed: bytes, case: Case
) -> None:
    told = (b"a1 OK told\r\n",) if b"ID" in listed else ()
    literals = b" LITERAL+" if case is LITERAL_PLUS else b""
    backend = imap_backend(scene, listed + literals + b"\r\na1 OK listed\r\n", *told, *case.backend[1:])
    settings = proxy_settings(ssl=proxy_ssl_settings(starttls=True), imap_id=True)
    client = greeted(scene, "imap", backend, settings)
    client.expect(IMAP.answer)
    heard = backend.peer().received
    assert heard.startswith(b"a1 STARTTLS\r\na1 CAPABILITY\r\n")
    assert heard.endswith(case.commands)
    assert heard.count(b"a1 ID (") == (b"ID" in listed)


def test_an_imap_backend_behind_starttls_that_is_not_asked_gets_literals_that_wait(scene: Scene) -> None:
    backend = imap_backend(scene, *IMAP.backend[1:])
    client = greeted(scene, "imap", backend, proxy_settings(ssl=proxy_ssl_settings(starttls=True)))
    client.expect(IMAP.answer)
    assert backend.peer().received == b"a1 STARTTLS\r\n" + IMAP.commands


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
