"""A session's record ends once, with the right reason, whoever ends the session."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from mailworker.mail.end import End
from mailworker.mail.record import SessionRecord
from tests.mail import client_ends, server_ends
from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.stage import PLAYS, Play, Stage
from tests.support.backend import echo, hang
from tests.support.daemon import wait_until
from tests.support.proxy import Proxy
from tests.tls.peers import client_context

assert client_ends and server_ends  # which enter their plays


def record_of(proxy: Proxy) -> SessionRecord:
    wait_until(lambda: bool(proxy.ended), "the end of the session")
    proxy.service_is_idle()
    (record,) = proxy.ended
    return record


@pytest.mark.parametrize(
    ("reason", "play"),
    [(reason, play) for reason, _, play in PLAYS],
    ids=[f"{reason.word}-{name}" for reason, name, _ in PLAYS],
)
def test_a_session_ends_its_record_once_and_for_the_right_reason(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: End, play: Play
) -> None:
    with ExitStack() as resources:
        proxy = play(Stage(scene, tmp_path, resources, monkeypatch))
        assert record_of(proxy).reason is reason


def test_each_reason_has_a_session_that_ends_so() -> None:
    assert {reason for reason, _, _ in PLAYS} == set(End)


@all_protocols
def test_bytes_are_counted_from_accept_to_the_end_on_both_sides(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script(echo))
    proxy = scene.proxy(case.protocol, scene.auth_for(backend))
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer), (b"x" * 100_000 + b"\r\n", b"x" * 100_000 + b"\r\n"))
    client.end()
    record = record_of(proxy)
    assert record.client_bytes.received == len(case.login) + 100_002
    assert record.client_bytes.sent == len(case.greeting) + len(case.answer) + 100_002
    assert record.backend_bytes is not None
    assert record.backend_bytes.received == len(b"".join(case.backend)) + 100_002
    assert record.backend_bytes.sent == len(case.commands) + 100_002


def test_bytes_of_tls_are_those_of_its_data(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    proxy = scene.tls_proxy("imap", scene.auth_for(backend), implicit_tls=True)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer), (b"one\r\n", b"one\r\n"))
    client.close()
    record = record_of(proxy)
    assert record.client_bytes.received == len(IMAP.login) + 5
    assert record.client_bytes.sent == len(IMAP.greeting + IMAP.answer) + 5


def test_bytes_that_come_with_the_login_count_once(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    proxy = scene.proxy("imap", scene.auth_for(backend))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login + b"one\r\n", IMAP.answer + b"one\r\n"))
    client.end()
    record = record_of(proxy)
    assert record.client_bytes.received == len(IMAP.login) + 5
    assert record.backend_bytes is not None
    assert record.backend_bytes.sent == len(IMAP.commands) + 5


def test_bytes_of_a_session_that_ends_before_its_relay(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(hang))
    client = scene.client(proxy)
    client.send(b"a LOGOUT\r\n")
    heard = client.rest()
    record = record_of(proxy)
    assert (record.client_bytes.received, record.client_bytes.sent) == (10, len(heard))
    assert record.backend_bytes is None
    assert record.logged_in is None


def test_times_of_accept_and_login_are_the_loop_s(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    proxy = scene.proxy("imap", scene.auth_for(backend), timeout=1000.0)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    scene.skip(500.0)
    client.talk((IMAP.login, IMAP.answer))
    client.end()
    record = record_of(proxy)
    assert record.logged_in is not None
    assert 500.0 <= record.logged_in - record.accepted < 600.0


def test_whoever_has_the_record_can_end_it_and_later_ends_count_no_more(scene: Scene) -> None:
    """As a shutdown does, or an administrator who ends a session."""
    backend = scene.backend(IMAP.script(echo))
    proxy = scene.proxy("imap", scene.auth_for(backend))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    (record,) = proxy.service._sessions.live
    proxy.call(lambda: record.end(End.SHUTDOWN))
    proxy.call(lambda: record.end(End.BUG))
    client.talk((b"one\r\n", b"one\r\n"))
    client.end()
    assert record_of(proxy) is record
    assert record.reason is End.SHUTDOWN


def test_a_listener_s_bug_is_logged_and_costs_nobody_else_anything(scene: Scene) -> None:
    def broken(record: SessionRecord) -> None:
        raise ValueError(record.number)

    proxy = scene.proxy("imap", scene.auth(hang), listeners=(broken,))
    proxy.alerts_expected = True
    proxy.connect().close()
    assert record_of(proxy).reason is End.NO_BYTES
    assert proxy.log.find("[alert]").startswith("[alert] *1 bug: ValueError(1) (test_record.py:")
