"""Clients that `debug_connection` names are logged at [debug], and only they."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailworker.config.networks import Network
from tests.mail.backend.test_smtp import ANYBODY, AWAY, LISTED, greeted, hand_over, smtp_backend
from tests.mail.cases import CREDENTIALS, IMAP, LITERAL_PLUS, POP3, SMTP, Case, all_protocols, pop3_server
from tests.mail.conftest import Scene
from tests.support.settings import proxy_settings
from tests.tls.peers import client_context

LOOPBACK: tuple[Network, ...] = (ip_network("198.51.100.0/24"), ip_network("127.0.0.0/8"))


def debug_lines(lines: list[str]) -> list[str]:
    return [line.partition(", client: ")[0] for line in lines if line.startswith("[debug]")]


@all_protocols
def test_a_watched_client_leaves_its_steps(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend)
    proxy = scene.proxy(case.protocol, auth, debug_connection=LOOPBACK)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    proxy.log.find("client logged in")
    steps = debug_lines(proxy.log.lines)
    assert steps[:2] == [
        f"[debug] *1 asking {auth.address}, method PLAIN, attempt 1 while in http auth state",
        f"[debug] *1 sent to {backend.address} while in http auth state",
    ]
    assert all(step.startswith("[debug] *1 login goes on while sending ") for step in steps[2:])
    assert len(steps) > 3
    assert not [line for line in proxy.log.lines if "secret" in line]


def test_a_login_that_goes_at_once_leaves_one_step(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth_for(scene.backend(LITERAL_PLUS.script())), debug_connection=LOOPBACK)
    for _ in range(3):  # the last one is foreseen
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, IMAP.answer))
    steps = [step.partition(" login ")[2] for step in debug_lines(proxy.log.lines) if "login goes on" in step]
    assert steps == ["goes on while sending LOGIN command to upstream"] * 3
    assert not [line for line in proxy.log.lines if "secret" in line]


def test_a_pop3_login_that_goes_at_once_leaves_one_step(scene: Scene) -> None:
    auth = scene.auth_for(scene.backend(pop3_server()))
    proxy = scene.proxy("pop3", auth, debug_connection=LOOPBACK)
    for _ in range(4):
        client = scene.client(proxy)
        client.expect(POP3.greeting)
        client.talk((POP3.login, POP3.answer))
        lines = proxy.log.lines
        steps = [step.partition(" login ")[2] for step in debug_lines(lines) if "login goes on" in step]
    assert steps[-2:] == ["goes on while sending AUTH to upstream"] * 2
    assert steps.count("goes on while sending user name to upstream") == 1
    assert not [line for line in lines if "secret" in line or CREDENTIALS.decode() in line]


def test_an_smtp_login_that_is_foreseen_leaves_all_its_steps(scene: Scene) -> None:
    proxy = scene.proxy("smtp", scene.auth_for(scene.backend(smtp_backend(LISTED))), debug_connection=LOOPBACK)
    for _ in range(3):
        greeted(scene, proxy).talk((SMTP.login, SMTP.answer))
    steps = [step.partition(" while ")[2] for step in debug_lines(proxy.log.lines) if "login goes on" in step]
    assert steps[-2:] == ["sending XCLIENT to upstream", "sending client HELO/EHLO to upstream"]
    assert len(steps) == 8  # the first two logins have EHLO before them


def test_what_is_watched_leaves_the_lines_of_the_others_too(scene: Scene) -> None:
    auth, told = scene.auth_for(scene.backend(smtp_backend(LISTED))), []
    exposed = proxy_settings(xclient=False)
    for watched in ((), LOOPBACK):
        proxy = scene.proxy("smtp", auth, dialogue=ANYBODY, proxy=exposed, debug_connection=watched)
        assert hand_over(scene, proxy).rest() == AWAY
        proxy.service_is_idle()
        lines = [line.replace(f":{proxy.address[1]}", "") for line in proxy.log.lines]
        told.append([line for line in lines if not line.startswith("[debug]")][1:])  # the first one has a port
    assert told[0] == told[1]
    assert "while reading response from upstream" in told[0][0]


def test_a_handshake_is_told(scene: Scene) -> None:
    auth = scene.auth_for(scene.backend(IMAP.script()))
    proxy = scene.tls_proxy(IMAP.protocol, auth, implicit_tls=True, debug_connection=LOOPBACK)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    (step,) = debug_lines(proxy.log.lines)
    assert step.startswith("[debug] *1 TLSv1.3 with TLS_")


@pytest.mark.parametrize("watched", [(), (ip_network("198.51.100.0/24"), "unix:")])
def test_others_are_not_watched(scene: Scene, watched: tuple[Network, ...]) -> None:
    auth = scene.auth_for(scene.backend(IMAP.script()))
    proxy = scene.proxy(IMAP.protocol, auth, debug_connection=watched)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    proxy.log.find("client logged in")
    assert debug_lines(proxy.log.lines) == []
