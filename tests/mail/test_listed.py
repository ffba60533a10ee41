"""What workers write of sessions into the session table."""

from __future__ import annotations

from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from mailworker.config.resolver import ResolverSettings
from mailworker.mail.end import End
from mailworker.model import Starttls
from mailworker.shm.session_row import State
from tests.mail import client_ends, server_ends
from tests.mail.cases import CREDENTIALS, IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.stage import PLAYS, Play, Stage
from tests.support.auth import rejected, response
from tests.support.backend import echo, hang
from tests.support.daemon import wait_until
from tests.support.name_server import silence
from tests.support.proxy import Proxy
from tests.tls.peers import client_context

assert client_ends and server_ends  # which enter their plays

MEGABYTE = 1 << 20
LINES = (b"x" * 4094 + b"\r\n") * 256


@pytest.mark.parametrize(
    ("reason", "play"),
    [(reason, play) for reason, _, play in PLAYS],
    ids=[f"{reason.word}-{name}" for reason, name, _ in PLAYS],
)
def test_each_session_gives_its_row_back_at_each_end(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: End, play: Play
) -> None:
    make = scene.proxy
    monkeypatch.setattr(scene, "proxy", lambda *args, **fields: make(*args, **{"rows": 2, **fields}))
    with ExitStack() as resources:
        proxy = play(Stage(scene, tmp_path, resources, monkeypatch))
        wait_until(lambda: bool(proxy.ended), "the end of the session")
        proxy.service_is_idle()
    assert proxy.ended[0].reason is reason
    assert not [*proxy.table.rows()]
    assert proxy.table.unlisted == 0
    assert proxy.table.own is not None
    assert b"user" not in bytes(proxy.table.own[1])


@all_protocols
def test_a_session_is_listed_from_its_greeting_to_its_relay(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script(echo))
    proxy = scene.proxy(case.protocol, scene.auth_for(backend), rows=8)
    client = scene.client(proxy)
    client.expect(case.greeting)
    row = proxy.await_row(lambda row: row.state is State.LOGIN)
    assert (row.client, row.client_port) == client.address
    assert (row.protocol, row.backend, row.user, row.login_age) == (case.protocol, None, "", None)
    client.talk((case.login, case.answer), (b"one\r\n", b"one\r\n"))
    relayed = proxy.await_row(lambda row: row.state is State.RELAY)
    assert (relayed.id, relayed.number) == (row.id, row.number)
    assert relayed.backend == "{}:{}".format(*backend.address)
    assert relayed.user == "user@example.com"
    assert relayed.login_age is not None
    client.end()
    proxy.service_is_idle()
    assert [*proxy.table.rows()] == []


def test_a_session_that_waits_for_a_decision_says_so(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(hang), rows=8)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    row = proxy.await_row(lambda row: row.state is State.AUTH)
    assert row.user == "user@example.com"
    assert row.backend is None


def test_a_session_that_waits_for_its_backend_says_which(scene: Scene) -> None:
    backend = scene.backend(hang)
    proxy = scene.proxy("imap", scene.auth_for(backend), rows=8)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    row = proxy.await_row(lambda row: row.state is State.BACKEND)
    assert row.backend == "{}:{}".format(*backend.address)


def test_a_session_that_waits_for_the_address_of_its_backend_says_so(scene: Scene) -> None:
    resolver = ResolverSettings((scene.name_server({"imap.example.com A": silence}).address,))
    named = response((b"Auth-Status", b"OK"), (b"Auth-Server", b"imap.example.com"), (b"Auth-Port", b"143"))
    proxy = scene.proxy("imap", scene.auth(named), rows=8, resolver=resolver)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    row = proxy.await_row(lambda row: row.state is State.BACKEND)
    assert row.backend is None
    kick(proxy, row.number, row.id)
    assert not client.rest()


def test_a_client_that_was_refused_is_before_its_login_again(scene: Scene) -> None:
    proxy = scene.proxy("sieve", scene.auth(rejected(b"no")), rows=8)
    client = scene.client(proxy)
    while not client.line().startswith(b"OK"):
        pass
    client.send(b'AUTHENTICATE "PLAIN" "%b"\r\n' % CREDENTIALS)
    client.until(b"NO")
    row = proxy.await_row(lambda row: row.state is State.LOGIN)
    assert row.user == "user@example.com"


def test_the_auth_service_may_give_the_login_another_name(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    proxy = scene.proxy("imap", scene.auth_for(backend, (b"Auth-User", b"jane@example.com")), rows=8)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    row = proxy.await_row(lambda row: row.state is State.RELAY)
    assert row.user == "jane@example.com"


def test_a_client_behind_a_balancer_is_the_one_that_the_balancer_names(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(hang), rows=8, proxy_protocol=True, real_ip_from=(ip_network("127.0.0.1"),))
    client = scene.client(proxy)
    client.send(b"PROXY TCP6 2001:db8::7 2001:db8::8 4711 143\r\n")
    client.expect(IMAP.greeting)
    (row,) = proxy.table.rows()
    assert (row.client, row.client_port) == ("2001:db8::7", 4711)


def test_rows_say_what_a_relay_has_moved_and_since_when_it_is_idle(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth_for(scene.backend(IMAP.script(echo))), rows=8)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    first = proxy.await_row(lambda row: row.state is State.RELAY)
    assert (first.received, first.sent) == (0, 0)
    client.exchange(LINES * 3, 3 * MEGABYTE)
    row = proxy.await_row(lambda row: row.received >= 2 * MEGABYTE and row.sent >= 2 * MEGABYTE)
    assert row.received <= 3 * MEGABYTE + len(IMAP.login)
    scene.skip(5.0)
    client.talk((b"one\r\n", b"one\r\n"))
    row = proxy.await_row(lambda row: row.received == 3 * MEGABYTE + len(IMAP.login) + 5)
    client.end()


@pytest.mark.parametrize("implicit", [True, False])
def test_sessions_by_tls_are_listed(scene: Scene, implicit: bool) -> None:
    auth = scene.auth_for(scene.backend(IMAP.script(echo)))
    starttls = Starttls.OFF if implicit else Starttls.ON
    proxy = scene.tls_proxy("imap", auth, rows=8, implicit_tls=implicit, starttls=starttls)
    client = scene.client(proxy)
    if not implicit:
        client.expect(IMAP.greeting)
        client.talk((b"s STARTTLS\r\n", b"s OK completed\r\n"))
    client.start_tls(client_context())
    if implicit:
        client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    client.exchange(LINES, MEGABYTE)
    row = proxy.await_row(lambda row: row.state is State.RELAY and row.received > 0)
    assert row.received >= MEGABYTE // 2
    client.end()


def test_sessions_beyond_the_rows_go_on_and_are_counted(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth_for(scene.backend(IMAP.script(echo))), rows=1)
    first, second = scene.client(proxy), scene.client(proxy)
    first.expect(IMAP.greeting)
    second.expect(IMAP.greeting)
    second.talk((IMAP.login, IMAP.answer), (b"one\r\n", b"one\r\n"))
    assert len([*proxy.table.rows()]) == 1
    assert proxy.table.unlisted == 1
    second.end()
    proxy.connections_in_use(2)
    assert proxy.table.unlisted == 0


def kick(proxy: Proxy, number: int, name: str) -> None:
    proxy.call(lambda: proxy.service.kick([(number, name)], "kicked"))


def test_a_session_that_has_the_row_by_now_stays(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth_for(scene.backend(IMAP.script(echo))), rows=1)
    first = scene.client(proxy)
    first.expect(IMAP.greeting)
    (gone,) = proxy.table.rows()
    first.end()
    first.rest()
    proxy.service_is_idle()
    second = scene.client(proxy)
    second.expect(IMAP.greeting)
    (row,) = proxy.table.rows()
    assert row.number == gone.number
    kick(proxy, gone.number, gone.id)
    kick(proxy, 5, row.id)
    second.talk((IMAP.login, IMAP.answer), (b"one\r\n", b"one\r\n"))
    kick(proxy, row.number, row.id)
    assert not second.rest()
    kick(proxy, row.number, row.id)
    proxy.service_is_idle()
    assert [record.reason for record in proxy.ended] == [End.NO_BYTES, End.KICKED]


def test_a_session_that_takes_leave_already_ends_once(scene: Scene) -> None:
    proxy = scene.tls_proxy("imap", scene.auth(hang), rows=4, implicit_tls=True)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    (row,) = proxy.table.rows()
    client.send(b"a LOGOUT\r\n")
    client.until(b"a OK")  # and does not answer the goodbye
    kick(proxy, row.number, row.id)
    client.rest()
    proxy.service_is_idle()
    assert [record.reason for record in proxy.ended] == [End.QUIT]
