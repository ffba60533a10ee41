"""What workers count of sessions."""

from __future__ import annotations

import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker.config.settings import MailServer
from mailworker.config.source import ByBackendSettings, UserFileSettings
from mailworker.errors import ConnectionLost, Party, PeerError, TimedOut, TlsError
from mailworker.event.loop import Loop
from mailworker.mail.authentication.source import LoginSource
from mailworker.mail.authentication.sources import Means
from mailworker.mail.authentication.user_file import UserFile, Users
from mailworker.mail.counting import (
    BACKEND_FAULTS,
    DURATION,
    FAULTS,
    LATENCY,
    LATEST_END,
    RESULTS,
    Alarm,
    Counted,
    Counting,
    fault_of,
    label,
    latest_end,
    result_of,
    source,
    word,
    words,
)
from mailworker.mail.end import USUAL, End
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.record import Entrance
from mailworker.mail.vitals import words_of_workers
from mailworker.model import AuthMethod, Starttls
from mailworker.shm.counters import Counters
from mailworker.wire.auth_response import Rejected
from tests.mail import client_ends, server_ends
from tests.mail.authentication.test_user_file import table_of
from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.deciding import TEMPORARY, WRONG, accepting, refusing
from tests.mail.stage import PLAYS, Play, Stage
from tests.support.auth import rejected, wait
from tests.support.backend import Script, conversation, echo, hang, hang_up
from tests.support.daemon import wait_until
from tests.support.proxy import Proxy
from tests.support.settings import NOWHERE, access_log, dialogue_settings, mail_server, proxy_pass, proxy_settings
from tests.tls.peers import client_context

assert client_ends and server_ends  # which enter their plays

REFUSALS = [protocol.refusals for protocol in PROTOCOLS.values()]


@pytest.mark.parametrize(
    ("reason", "play"),
    [(reason, play) for reason, _, play in PLAYS],
    ids=[f"{reason.word}-{name}" for reason, name, _ in PLAYS],
)
def test_each_session_is_counted_once_at_each_end(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: End, play: Play
) -> None:
    make = scene.proxy
    monkeypatch.setattr(scene, "proxy", lambda *args, **fields: make(*args, counted=True, **fields))
    with ExitStack() as resources:
        proxy = play(Stage(scene, tmp_path, resources, monkeypatch))
        wait_until(lambda: bool(proxy.ended), "the end of the session")
        proxy.service_is_idle()
    totals = {tuple(name.split("\0")): value for name, value in proxy.counters.read().totals.items() if value}
    assert {name[-1]: value for name, value in totals.items() if name[0] == "ended"} == {reason.word: 1}
    failures = {name[-1]: value for name, value in totals.items() if name[0] == "upstream_failures"}
    assert failures == ({reason.word: 1} if reason in BACKEND_FAULTS else {})

    found = latest_end(next((value for name, value in totals.items() if name[0] == LATEST_END), 0))
    assert (found is None) == (reason in USUAL)
    assert found is None or (found[1] is reason and abs(time.time() - found[0]) < 60)

    def total(family: str) -> int:
        return sum(value for name, value in totals.items() if name[0] == family)

    assert total("accepted") == 1
    assert total("logins") == sum(record.logged_in is not None for record in proxy.ended)
    without_handshake = reason in {End.TLS_FAILED, End.TLS_TIMEOUT} or play in {
        client_ends.probe_of_a_tls_port,
        server_ends.administrator_ends_a_session_in_its_handshake,
    }
    assert total("handshake_failures") == without_handshake


@all_protocols
def test_a_login_is_counted_with_all_its_bytes(scene: Scene, case: Case) -> None:
    proxy = scene.proxy(case.protocol, scene.auth_for(scene.backend(case.script(echo))), counted=True)
    scene.visit(proxy, case)
    assert proxy.counts() == {
        f"accepted {case.protocol}": 1,
        f"auth {case.protocol} http plain ok": 1,
        f"bytes {case.protocol} client_in": len(case.login) + 5,
        f"bytes {case.protocol} client_out": len(case.greeting + case.answer) + 5,
        f"bytes {case.protocol} upstream_in": len(b"".join(case.backend)) + 5,
        f"bytes {case.protocol} upstream_out": len(case.commands) + 5,
        f"ended {case.protocol} client_closed": 1,
        f"logins {case.protocol}": 1,
    }
    address = "{}:{}".format(*proxy.address)
    totals = proxy.counters.read().totals
    for family, bounds, labels in (
        ("auth_seconds", LATENCY, ("http",)),
        ("login_seconds", LATENCY, (case.protocol,)),
        ("session_seconds", DURATION, (address, case.protocol)),
    ):
        assert sum(totals[word(family, *labels, each)] for each in (*map(repr, bounds), "+Inf")) == 1
        assert totals[word(family, *labels, "sum")] < 60_000_000


def test_times_are_sorted_into_buckets(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth_for(scene.backend(IMAP.script(echo))), counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    proxy.log.find("client logged in")
    scene.skip(700.0)
    client.end()
    proxy.service_is_idle()
    totals = proxy.counters.read().totals
    name = ("session_seconds", "{}:{}".format(*proxy.address), "imap")
    assert totals[word(*name, "900.0")] == 1
    assert 700_000_000 <= totals[word(*name, "sum")] < 760_000_000


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (rejected(b"no"), "failed"),
        (rejected(b"not now", (b"Auth-Error-Code", b"454 4.7.0")), "error"),
        (b"HTTP/1.0 500 broken\r\n\r\n", "error"),
    ],
    ids=["failed", "temporary", "error"],
)
def test_a_login_that_is_refused_is_counted_by_what_was_decided(scene: Scene, answer: bytes, result: str) -> None:
    proxy = scene.proxy("imap", scene.auth(answer), counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.rest()
    proxy.service_is_idle()
    assert proxy.counts("accepted", "bytes", "ended") == {f"auth imap http plain {result}": 1}


def test_a_verdict_without_the_password_that_is_needed_is_counted_once(scene: Scene) -> None:
    external = dialogue_settings("imap", auth=AuthMethod.EXTERNAL)
    proxy = scene.proxy("imap", scene.auth_for(scene.backend(hang)), dialogue=external, counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(b"a1 AUTHENTICATE EXTERNAL dXNlckBleGFtcGxlLmNvbQ==\r\n")
    client.rest()
    proxy.service_is_idle()
    assert proxy.counts("accepted", "bytes", "ended") == {"auth imap http external ok": 1}


def test_a_service_that_lets_time_pass_is_counted(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(hang), auth_timeout=0.05, counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.rest()
    proxy.service_is_idle()
    assert proxy.counts("accepted", "bytes", "ended") == {"auth imap http plain timeout": 1}


def test_who_has_to_wait_is_counted_apart(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(wait(b"1"), rejected(b"no")), counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.rest()
    proxy.service_is_idle()
    counts = proxy.counts("accepted", "bytes", "ended")
    assert sum(counts.values()) == 1


@pytest.mark.parametrize(
    ("verdict", "result"),
    [
        (Rejected(b"no"), "failed"),
        (Rejected(b"no", wait=3), "wait"),
        (Rejected(b"no", wait=3, code=b"454 4.7.0"), "wait"),
        (Rejected(b"no", code=b"454 4.7.0"), "error"),
        (Rejected(b"no", for_now=True), "error"),
        *((refusals.wrong, "failed") for refusals in REFUSALS),
        *((refusals.temporary, "error") for refusals in REFUSALS),
        *((refusals.misconfigured, "error") for refusals in REFUSALS),
    ],
)
def test_a_refusal_has_a_result_of_a_closed_set(verdict: Rejected, result: str) -> None:
    assert result_of(verdict) == result
    assert result in RESULTS


def test_a_password_that_cannot_be_checked_now_is_not_a_wrong_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = Users("/users", table_of(b"user@example.com:$2y$12$" + b"a" * 53))  # it takes too long

    def make(settings: MailServer, means: Means) -> LoginSource:
        return UserFile(users, settings, means.refusals, means.ports)

    monkeypatch.setattr("mailworker.mail.authentication.sources.LOGIN_SOURCES", (make,))
    proxy = scene.proxy("imap", NOWHERE, source=UserFileSettings("/users"), counted=True)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, TEMPORARY["imap"]))
    client.end()
    client.rest()
    proxy.service_is_idle()
    assert proxy.counts("accepted", "bytes", "ended") == {"auth imap file plain error": 1}


NO_DATABASE = refusing("imap", b"a1 NO [UNAVAILABLE] no database\r\n")


@pytest.mark.parametrize(
    ("backend", "answer", "result", "failure"),
    [
        (accepting("imap"), IMAP.answer, "ok", None),
        (refusing("imap", b"a1 NO wrong\r\n"), WRONG["imap"], "failed", None),
        (NO_DATABASE, TEMPORARY["imap"], "error", End.BACKEND_TEMP),
        (hang_up, TEMPORARY["imap"], "error", End.BACKEND_PROTOCOL),
        (None, TEMPORARY["imap"], "error", End.BACKEND_CONNECT),
    ],
    ids=["ok", "failed", "temporary", "closed", "down"],
)
def test_a_backend_s_own_verdict_is_counted(
    scene: Scene, backend: Script | None, answer: bytes, result: str, failure: End | None
) -> None:
    proxy = by_backend(scene, backend)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, answer))
    client.end()
    client.rest()
    proxy.service_is_idle()
    failures = {} if failure is None else {f"upstream_failures imap {failure.word}": 1}
    counts = proxy.counts("accepted", "bytes", "ended", "logins")
    assert counts == {f"auth imap upstream plain {result}": 1} | failures


@pytest.mark.parametrize("fields", [{}, {"access_log": access_log(b"$upstream_addr")}], ids=["no log", "access log"])
def test_each_login_that_fails_at_a_backend_is_counted_though_its_session_goes_on(
    scene: Scene, fields: dict[str, Any]
) -> None:
    replies = *IMAP.backend[:-1], b"a1 NO [UNAVAILABLE] no database\r\n"
    auth, settings = scene.auth_for(scene.backend(conversation(*replies))), proxy_settings(pass_error_codes=True)
    proxy = scene.proxy("imap", auth, proxy=settings, counted=True, **fields)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    for _ in range(2):
        client.talk((IMAP.login, TEMPORARY["imap"]))
    client.send(b"b LOGOUT\r\n")
    client.rest()
    proxy.service_is_idle()
    counts = proxy.counts("accepted")
    assert {name: count for name, count in counts.items() if " client_" not in name} == {
        "auth imap http plain ok": 2,
        "bytes imap upstream_in": 2 * len(b"".join(replies)),
        "bytes imap upstream_out": 2 * len(IMAP.commands),
        "ended imap quit": 1,
        "upstream_failures imap upstream_temp": 2,
    }


def by_backend(scene: Scene, script: Script | None) -> Proxy:
    """A proxy with a backend that decides about logins; without a script it is down."""
    address = scene.nowhere() if script is None else scene.backend(script).address
    settings = proxy_settings(backend=proxy_pass(address))
    return scene.proxy("imap", NOWHERE, source=ByBackendSettings(), proxy=settings, counted=True)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize(
    ("implicit", "lobby"), [(True, False), (True, True), (False, False)], ids=["listen ssl", "lobby", "starttls"]
)
def test_handshakes_are_counted_by_version_and_resumption(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, version: str, implicit: bool, lobby: bool
) -> None:
    monkeypatch.setattr(Entrance, "has_lobby", lobby)  # a log as talkative as ours has none
    starttls = Starttls.OFF if implicit else Starttls.ON
    auth = scene.auth_for(scene.backend(IMAP.script(echo)))
    proxy = scene.tls_proxy("imap", auth, implicit_tls=implicit, starttls=starttls, counted=True)
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2 if version == "TLSv1.2" else ssl.TLSVersion.TLSv1_3
    client = scene.client(proxy)
    if not implicit:
        client.expect(IMAP.greeting)
        client.talk((b"s STARTTLS\r\n", b"s OK completed\r\n"))
    client.start_tls(context)
    client.send(b"a LOGOUT\r\n")
    client.rest()
    client.end()
    proxy.service_is_idle()
    counts = proxy.counts("accepted", "bytes", "ended")
    assert counts == {f"handshakes imap {version} no": 1}


def test_clients_that_are_turned_away_are_counted(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(b""), worker_connections=2, counted=True)
    proxy.alerts_expected = True
    first = scene.client(proxy)
    first.expect(IMAP.greeting)
    for _ in range(3):
        scene.client(proxy).rest()
    wait_until(lambda: proxy.counts("accepted") == {"dropped worker_connections": 3}, "all who are turned away")
    assert proxy.counts("bytes") == {"accepted imap": 1, "dropped worker_connections": 3}
    first.end()
    proxy.service_is_idle()


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (TimedOut(Party.CLIENT), "timeout"),
        (ConnectionLost(Party.CLIENT, "SSL_do_handshake()", 104), "left"),
        (TlsError(Party.CLIENT, "", ()), "left"),
        (TlsError(Party.CLIENT, "", ("error:0A000126:SSL routines::unexpected eof while reading",)), "left"),
        (TlsError(Party.CLIENT, "", ("error:0A000102:SSL routines::unsupported protocol",)), "no_common_protocol"),
        (TlsError(Party.CLIENT, "", ("error:1417A0C1:SSL routines:tls_post:no shared cipher",)), "no_common_cipher"),
        (TlsError(Party.CLIENT, "", ("error:0A0000EB:SSL routines::no application protocol",)), "alpn"),
        (TlsError(Party.CLIENT, "", ("error:0A00009C:SSL routines::http request",)), "plaintext"),
        (TlsError(Party.CLIENT, "", ("error:0A000418:SSL routines::tlsv1 alert unknown ca",)), "peer_rejected"),
        (TlsError(Party.CLIENT, "", ("error:0A0000F4:SSL routines::unexpected message",)), "other"),
    ],
)
def test_a_failed_handshake_has_a_reason_of_a_closed_set(error: PeerError, fault: str) -> None:
    assert fault_of(error) == fault
    assert fault in FAULTS


def test_servers_are_known_by_their_zone_or_else_by_their_first_listen() -> None:
    assert label(mail_server("imap")) == ("127.0.0.1:143", "imap")
    assert label(mail_server("smtp", status_zone="mx")) == ("mx", "smtp")
    assert source(mail_server("imap")) == "http"


def test_servers_of_one_zone_have_their_words_in_common() -> None:
    one = words([mail_server("imap", status_zone="one")])
    assert words([mail_server("imap", status_zone="one")] * 2) == one
    assert len(words([mail_server("imap", status_zone="one"), mail_server("imap", status_zone="two")])) > len(one)
    assert len(set(one)) == len(one)


def test_a_server_is_counted_from_its_first_client_on(scene: Scene) -> None:
    """With 4,000 servers each worker took 60 MB and 1.6 s of CPU before its first client."""
    proxy = scene.proxy("imap", scene.auth(b""), counted=True)
    (server,) = proxy.service.servers
    assert server.counted is None
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    assert server.counted is not None
    client.end()
    proxy.service_is_idle()
    assert proxy.counts("bytes", "ended") == {"accepted imap": 1}


class Words(Counters):
    """Notes the words whose places are looked up."""

    __slots__ = ("asked",)

    asked: list[str]

    def place(self, name: str) -> int:
        self.asked.append(name)
        return super().place(name)


def test_servers_that_say_the_same_are_counted_by_one_object() -> None:
    settings = [mail_server("imap", status_zone=zone) for zone in ("one", "one", "two", "three")]
    counters = Words("status", words_of_workers(settings))
    counters.claim(0)
    counters.asked = list[str]()
    counting, counted = Counting(counters, Loop(print), Alarm()), list[Counted | None]()
    lookups = list[int]()
    for each in settings:
        server = SimpleNamespace(settings=each, counted=None)
        counters.asked.clear()
        counting.count([server])
        counted.append(server.counted)
        lookups.append(len(counters.asked))
    assert counted[0] is counted[1]
    assert len(set(counted)) == 3
    assert lookups[1] == 0
    assert lookups[3] == lookups[2] < 12 < lookups[0]
