"""A handshake, which is counted if it fails, and the greeting after it.

The end of the handshake and the greeting are sent together if nothing comes between them, and only then.
"""

from __future__ import annotations

import ssl
import threading
from typing import Any

import dns.message
import pytest

from mailworker.config.resolver import ResolverSettings
from mailworker.mail.record import Entrance
from tests.mail.cases import SMTP
from tests.mail.conftest import Scene
from tests.support.name_server import records
from tests.support.patience import PATIENCE
from tests.support.settings import dialogue_settings
from tests.tls.peers import client_context

NOTHING = records()


@pytest.fixture
def release() -> threading.Event:
    """Lets the name server answer."""
    return threading.Event()


@pytest.fixture
def delays(scene: Scene, release: threading.Event) -> dict[str, dict[str, Any]]:
    """Settings that let a client wait for its greeting."""

    def held(query: dns.message.Message) -> list[bytes]:
        release.wait(PATIENCE)
        return NOTHING(query)

    server = scene.name_server({"1.0.0.127.in-addr.arpa PTR": held})
    return {
        "resolver": {"resolver": ResolverSettings((server.address,), timeout=PATIENCE)},
        "smtp_greeting_delay": {"dialogue": dialogue_settings("smtp", greeting_delay=PATIENCE)},
    }


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("directive", ["resolver", "smtp_greeting_delay"])
def test_a_handshake_does_not_wait_for_what_delays_the_greeting(
    scene: Scene,
    delays: dict[str, dict[str, Any]],
    release: threading.Event,
    directive: str,
    version: ssl.TLSVersion,
) -> None:
    client_tls = client_context()
    client_tls.maximum_version = version
    proxy = scene.tls_proxy("smtp", scene.auth(b""), implicit_tls=True, **delays[directive])
    client = scene.client(proxy)
    client.start_tls(client_tls)
    assert client.is_silent()
    release.set()
    if directive == "resolver":
        client.expect(SMTP.greeting)


@pytest.mark.parametrize("lobby", [False, True], ids=["session", "lobby"])
def test_a_failed_handshake_is_counted_wherever_it_fails(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, lobby: bool
) -> None:
    monkeypatch.setattr(Entrance, "has_lobby", lobby)
    proxy = scene.tls_proxy("imap", scene.auth(b""), implicit_tls=True, counted=True)
    client = scene.client(proxy)
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    client.end()
    client.rest()
    proxy.service_is_idle()
    assert proxy.counts("accepted", "bytes") == {"ended imap tls_failed": 1, "handshake_failures imap plaintext": 1}
