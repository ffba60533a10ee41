"""No client holds a session longer than `timeout`, whatever it does or leaves undone."""

from __future__ import annotations

import pytest

from mailworker.model import Starttls
from tests.mail.cases import IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.backend import conversation, hang, hang_up
from tests.support.peer import Peer
from tests.support.settings import dialogue_settings
from tests.tls.peers import client_context

# Seconds that nobody waits for: most of the timeout is skipped, and then more than the rest of it.
TIMEOUT = 1000.0
MOST = 900.0
REST = 150.0
TIMED_OUT = "[info] *1 client timed out (110: Connection timed out) while in auth state, client: 127.0.0.1, server: "
EARLY = b"503 5.5.0 Improper use of SMTP command pipelining\r\n"


def is_cut_off(scene: Scene, client: Peer) -> bool:
    """Whether the client is connected when most of its time is over, and no longer when all of it is."""
    there = client.is_silent()
    scene.skip(REST)
    return there and client.rest() == b""


@all_protocols
def test_a_silent_client_is_sent_away_without_a_word(scene: Scene, case: Case) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(hang_up), timeout=TIMEOUT)
    client = scene.client(proxy)
    client.expect(case.greeting)
    scene.skip(MOST)
    assert is_cut_off(scene, client)
    assert proxy.log.find("timed out").startswith(TIMED_OUT)


@all_protocols
def test_commands_give_no_more_time(scene: Scene, case: Case) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(hang_up), timeout=TIMEOUT)
    client = scene.client(proxy)
    client.expect(case.greeting)
    for _ in range(5):
        scene.skip(MOST / 5)
        client.talk(case.noop)
    assert is_cut_off(scene, client)
    assert proxy.log.find("timed out").startswith(TIMED_OUT)


@all_protocols
def test_bytes_of_a_line_give_no_more_time(scene: Scene, case: Case) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(hang_up), timeout=TIMEOUT)
    client = scene.client(proxy)
    client.expect(case.greeting)
    for _ in range(5):
        scene.skip(MOST / 5)
        client.send(b"X")
    assert is_cut_off(scene, client)
    assert proxy.log.find("timed out").startswith(TIMED_OUT)


@pytest.mark.parametrize(
    ("protocol", "lines"),
    [
        ("pop3", [b"USER bob\r\n"]),
        ("smtp", [b"EHLO me\r\n", b"AUTH LOGIN\r\n", b"Ym9i\r\n"]),
    ],
)
def test_the_log_names_who_was_about_to_log_in(scene: Scene, protocol: str, lines: list[bytes]) -> None:
    proxy = scene.proxy(protocol, scene.auth(hang_up), timeout=TIMEOUT)
    client = scene.client(proxy)
    client.line()
    for line in lines:
        client.send(line)
        while client.line()[3:4] == b"-":
            pass
    scene.skip(MOST)
    assert is_cut_off(scene, client)
    assert proxy.log.find("timed out").endswith(', login: "bob"')


def test_a_client_that_reads_nothing_is_cut_off(scene: Scene) -> None:
    proxy = scene.proxy("smtp", scene.auth(hang_up), timeout=TIMEOUT, send_buffer=4096)
    client = scene.client(proxy, receive_buffer=4096)
    client.send_what_fits(b"EHLO me\r\n" * 100, 0.1)
    scene.skip(MOST + REST)
    assert proxy.log.find("timed out").startswith(TIMED_OUT)
    proxy.service_is_idle()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a part of it"])
def test_a_handshake_has_a_deadline(scene: Scene, said: bytes) -> None:
    proxy = scene.tls_proxy("imap", scene.auth(hang_up), implicit_tls=True, timeout=TIMEOUT)
    client = scene.client(proxy)
    client.send(said)
    proxy.log.find("connected to")
    scene.skip(MOST)
    assert is_cut_off(scene, client)
    assert " while SSL handshaking, client: " in proxy.log.find("timed out")


def test_starttls_gives_no_more_time(scene: Scene) -> None:
    proxy = scene.tls_proxy("imap", scene.auth(hang_up), starttls=Starttls.ON, timeout=TIMEOUT)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    scene.skip(MOST)
    client.talk((b"a STARTTLS\r\n", b"a OK completed\r\n"))
    assert is_cut_off(scene, client)
    proxy.log.find("timed out")


def test_time_goes_on_inside_tls(scene: Scene) -> None:
    proxy = scene.tls_proxy("pop3", scene.auth(hang_up), starttls=Starttls.ONLY, timeout=TIMEOUT)
    client = scene.client(proxy)
    client.expect(POP3.greeting)
    scene.skip(MOST)
    client.talk((b"STLS\r\n", b"+OK\r\n"))
    client.start_tls(client_context())
    client.talk((b"NOOP\r\n", b"+OK\r\n"))
    assert is_cut_off(scene, client)
    assert " using starttls, server: " in proxy.log.find("timed out")


@pytest.mark.parametrize("behind_proxy", [False, True], ids=["TLS", "a PROXY header"])
def test_what_comes_before_the_greeting_takes_from_the_same_time(scene: Scene, behind_proxy: bool) -> None:
    implicit_tls = not behind_proxy
    proxy = scene.tls_proxy(
        "imap", scene.auth(hang_up), implicit_tls=implicit_tls, proxy_protocol=behind_proxy, timeout=TIMEOUT
    )
    client = scene.client(proxy)
    proxy.log.find("connected to")
    scene.skip(MOST)
    if behind_proxy:
        client.send(b"PROXY UNKNOWN\r\n")
    else:
        client.start_tls(client_context())
    client.expect(IMAP.greeting)
    assert is_cut_off(scene, client)


def test_the_time_of_the_auth_service_is_not_the_clients(scene: Scene) -> None:
    """auth_http_timeout is longer than what the client has left, and the client still hears the answer."""
    proxy = scene.proxy("imap", auth := scene.auth(hang), timeout=TIMEOUT, auth_timeout=3 * TIMEOUT)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    auth.peer()
    scene.skip(2 * TIMEOUT)
    assert client.is_silent()
    scene.skip(2 * TIMEOUT)
    assert client.rest() == IMAP.error


def test_a_spammer_does_not_wait(scene: Scene) -> None:
    delayed = dialogue_settings("smtp", greeting_delay=TIMEOUT)
    proxy = scene.proxy("smtp", scene.auth(hang_up), dialogue=delayed)
    client = scene.client(proxy)
    client.send(b"EHLO me\r\nMAIL\r\n")
    assert client.rest() == EARLY
    message = (
        '[info] *1 client was rejected before greeting: "EHLO me__MAIL__" while in delay pipelining state, client: '
    )
    assert proxy.log.lines[1].startswith(message)


def test_a_patient_client_is_greeted_after_the_delay(scene: Scene) -> None:
    """The delay is not the client's time either, however long it is."""
    delayed = dialogue_settings("smtp", greeting_delay=2 * TIMEOUT)
    proxy = scene.proxy("smtp", scene.auth(hang_up), dialogue=delayed, timeout=TIMEOUT)
    client = scene.client(proxy)
    proxy.log.find("connected to")
    scene.skip(MOST + MOST)
    assert client.is_silent()
    scene.skip(2 * REST)
    client.expect(SMTP.greeting)
    client.talk(SMTP.noop)


def test_who_leaves_during_the_delay_is_not_greeted(scene: Scene) -> None:
    delayed = dialogue_settings("smtp", greeting_delay=TIMEOUT)
    proxy = scene.proxy("smtp", scene.auth(hang_up), dialogue=delayed)
    client = scene.client(proxy)
    client.end()
    assert client.rest() == b""
    assert [line for line in proxy.log.lines[1:] if "client left without a login" not in line] == []


def test_nobody_waits_long_for_a_goodbye(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not answer close_notify is left after a while, without complaint."""
    monkeypatch.setattr("mailworker.mail.leaving._GOODBYE_TIMEOUT", TIMEOUT)
    proxy = scene.tls_proxy("imap", scene.auth(hang_up), implicit_tls=True)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.talk((b"a LOGOUT\r\n", b"* BYE Logging out\r\na OK completed\r\n"))
    scene.skip(MOST)
    proxy.connections_in_use(2)
    scene.skip(REST)
    proxy.service_is_idle()
    assert [line for line in proxy.log.lines[1:] if "client left without a login" not in line] == []


def test_a_backend_that_refuses_is_not_held_by_a_client_that_says_no_goodbye(scene: Scene) -> None:
    backend = scene.backend(conversation(b"* BYE no\r\n"))
    proxy = scene.tls_proxy("imap", scene.auth_for(backend), implicit_tls=True)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.error))
    proxy.connections_in_use(2)  # the listener and the client
