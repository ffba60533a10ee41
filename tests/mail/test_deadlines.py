"""No client holds a session longer than `timeout`, whatever it does or leaves undone."""

from __future__ import annotations

import time

import pytest

from mailworker.config.settings import Protocol, Starttls
from tests.mail.cases import IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.backend import conversation, hang, hang_up
from tests.support.peer import Peer
from tests.support.settings import dialogue_settings
from tests.tls.peers import client_context

TIMEOUT = 0.2
# A renewed deadline would end later than this after the first one.
MARGIN = 0.4
LATE = 0.5
TIMED_OUT = "[info] *1 client timed out (110: Connection timed out) while in auth state, client: 127.0.0.1, server: "
EARLY = b"503 5.5.0 Improper use of SMTP command pipelining\r\n"


class Watch:
    """Measures from its making."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def assert_about(self, seconds: float) -> None:
        assert seconds * 0.9 < time.monotonic() - self._began < seconds + MARGIN


@all_protocols
def test_a_silent_client_is_sent_away_without_a_word(scene: Scene, case: Case) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(hang_up), timeout=TIMEOUT)
    watch = Watch()
    client = scene.client(proxy)
    assert client.rest() == case.greeting
    watch.assert_about(TIMEOUT)
    assert proxy.log.find("timed out").startswith(TIMED_OUT)


def talk_until_cut(client: Peer, pieces: list[bytes]) -> None:
    try:
        for piece in pieces:
            client.send(piece)
            time.sleep(TIMEOUT / 20)
    except OSError:
        return
    raise AssertionError("nobody cut the client off")


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"X"], ids=["commands", "bytes of a line"])
@all_protocols
def test_talking_gives_no_more_time(scene: Scene, case: Case, command: bytes) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(hang_up), timeout=TIMEOUT)
    watch = Watch()
    client = scene.client(proxy)
    talk_until_cut(client, [b"a " + command if case is IMAP and command == b"NOOP\r\n" else command] * 100)
    watch.assert_about(TIMEOUT)
    assert proxy.log.find("timed out").startswith(TIMED_OUT)


def test_a_client_that_reads_nothing_is_cut_off(scene: Scene) -> None:
    proxy = scene.proxy(Protocol.SMTP, scene.auth(hang_up), timeout=TIMEOUT, send_buffer=4096)
    watch = Watch()
    client = scene.client(proxy, receive_buffer=4096)
    with pytest.raises(OSError, match=r"reset|Broken pipe|timed out"):
        for _ in range(100_000):
            client.send(b"EHLO me\r\n" * 100)
    watch.assert_about(TIMEOUT)
    assert proxy.log.find("timed out").startswith(TIMED_OUT)


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a part of it"])
def test_a_handshake_has_a_deadline(scene: Scene, said: bytes) -> None:
    proxy = scene.tls_proxy(Protocol.IMAP, scene.auth(hang_up), implicit_tls=True, timeout=TIMEOUT)
    watch = Watch()
    client = scene.client(proxy)
    client.send(said)
    assert client.rest() == b""
    watch.assert_about(TIMEOUT)
    assert " while SSL handshaking, client: " in proxy.log.find("timed out")


def test_starttls_gives_no_more_time(scene: Scene) -> None:
    proxy = scene.tls_proxy(Protocol.IMAP, scene.auth(hang_up), starttls=Starttls.ON, timeout=LATE + 0.1)
    watch = Watch()
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    time.sleep(LATE)
    client.talk((b"a STARTTLS\r\n", b"a OK completed\r\n"))
    assert client.rest() == b""
    watch.assert_about(LATE + 0.1)
    proxy.log.find("timed out")


def test_time_goes_on_inside_tls(scene: Scene) -> None:
    proxy = scene.tls_proxy(Protocol.POP3, scene.auth(hang_up), starttls=Starttls.ONLY, timeout=LATE + 0.1)
    watch = Watch()
    client = scene.client(proxy)
    client.expect(POP3.greeting)
    time.sleep(LATE)
    client.talk((b"STLS\r\n", b"+OK\r\n"))
    client.start_tls(client_context())
    client.talk((b"NOOP\r\n", b"+OK\r\n"))
    assert client.rest() == b""
    watch.assert_about(LATE + 0.1)
    assert " using starttls, server: " in proxy.log.find("timed out")


@pytest.mark.parametrize("behind_proxy", [False, True], ids=["TLS", "a PROXY header"])
def test_what_comes_before_the_greeting_takes_from_the_same_time(scene: Scene, behind_proxy: bool) -> None:
    implicit_tls = not behind_proxy
    proxy = scene.tls_proxy(
        Protocol.IMAP, scene.auth(hang_up), implicit_tls=implicit_tls, proxy_protocol=behind_proxy, timeout=LATE + 0.1
    )
    watch = Watch()
    client = scene.client(proxy)
    time.sleep(LATE)
    if behind_proxy:
        client.send(b"PROXY UNKNOWN\r\n")
    else:
        client.start_tls(client_context())
    assert client.rest() == IMAP.greeting
    watch.assert_about(LATE + 0.1)


def test_the_time_of_the_auth_service_is_not_the_clients(scene: Scene) -> None:
    """auth_http_timeout is longer than what the client has left, and the client still hears the answer."""
    proxy = scene.proxy(Protocol.IMAP, scene.auth(hang), timeout=0.1, auth_timeout=0.3)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    assert client.rest() == IMAP.error


def test_a_spammer_does_not_wait(scene: Scene) -> None:
    delayed = dialogue_settings(Protocol.SMTP, greeting_delay=5.0)
    proxy = scene.proxy(Protocol.SMTP, scene.auth(hang_up), dialogue=delayed)
    client = scene.client(proxy)
    client.send(b"EHLO me\r\nMAIL\r\n")
    assert client.rest() == EARLY
    message = (
        '[info] *1 client was rejected before greeting: "EHLO me__MAIL__" while in delay pipelining state, client: '
    )
    assert proxy.log.lines[1].startswith(message)


def test_a_patient_client_is_greeted_after_the_delay(scene: Scene) -> None:
    delayed = dialogue_settings(Protocol.SMTP, greeting_delay=TIMEOUT)
    proxy = scene.proxy(Protocol.SMTP, scene.auth(hang_up), dialogue=delayed, timeout=0.1)
    watch = Watch()
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    watch.assert_about(TIMEOUT)
    client.talk((b"NOOP\r\n", b"250 2.0.0 OK\r\n"))


def test_who_leaves_during_the_delay_is_not_greeted(scene: Scene) -> None:
    delayed = dialogue_settings(Protocol.SMTP, greeting_delay=5.0)
    proxy = scene.proxy(Protocol.SMTP, scene.auth(hang_up), dialogue=delayed)
    client = scene.client(proxy)
    client.end()
    assert client.rest() == b""
    assert len(proxy.log.lines) == 1


def test_nobody_waits_long_for_a_goodbye(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not answer close_notify is left after a while, without complaint."""
    monkeypatch.setattr("mailworker.mail.session._GOODBYE_TIMEOUT", TIMEOUT)
    proxy = scene.tls_proxy(Protocol.IMAP, scene.auth(hang_up), implicit_tls=True)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.talk((b"a LOGOUT\r\n", b"* BYE\r\na OK completed\r\n"))
    watch = Watch()
    proxy.service_is_idle()
    watch.assert_about(TIMEOUT)
    assert len(proxy.log.lines) == 1


def test_a_backend_that_refuses_is_not_held_by_a_client_that_says_no_goodbye(scene: Scene) -> None:
    backend = scene.backend(conversation(b"* BYE no\r\n"))
    proxy = scene.tls_proxy(Protocol.IMAP, scene.auth_for(backend), implicit_tls=True)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.error))
    proxy.connections_in_use(2)  # the listener and the client
