"""One line for each session, whoever ends it, with what is known of it."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from mailworker.config.access_log import On
from mailworker.config.destinations import AccessLogPattern
from mailworker.config.log_format import COMBINED, SpecialFormat
from mailworker.mail.end import End
from mailworker.mail.facts import FactsRecord
from mailworker.mail.record import Entrance
from mailworker.model import Starttls, UnixAddress
from mailworker.variables.template import parse
from tests.mail import client_ends, server_ends
from tests.mail.cases import AUTH_PLAIN, IMAP, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.stage import PLAYS, Play, Stage
from tests.support.auth import accepted, rejected
from tests.support.backend import Script, echo, hang, hang_up
from tests.support.settings import access_log
from tests.tls.peers import client_context

assert client_ends and server_ends  # which enter their plays

EVERYTHING = b"$log_event $status $session_end $session_state"


@pytest.mark.parametrize(
    ("reason", "play"),
    [(reason, play) for reason, _, play in PLAYS],
    ids=[f"{reason.word}-{name}" for reason, name, _ in PLAYS],
)
def test_each_session_has_one_line_whoever_ends_it(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: End, play: Play
) -> None:
    make = scene.proxy
    settings = access_log(EVERYTHING, null_sessions=True)
    settings = replace(
        settings, logs=settings.logs + access_log(SpecialFormat.JSON).logs + access_log(SpecialFormat.DOVECOT).logs
    )
    monkeypatch.setattr(scene, "proxy", lambda *words, **fields: make(*words, access_log=settings, **fields))
    with ExitStack() as resources:
        proxy = play(Stage(scene, tmp_path, resources, monkeypatch))
        proxy.lines.expect(3)
        proxy.service_is_idle()
    line, as_json, as_dovecot = proxy.lines.expect(3)
    assert line == f"end {reason.status} {reason.word} {reason.pair}\n".encode()
    assert json.loads(as_json)["session_end"] == reason.word
    assert re.fullmatch(rb".*-login: \w.*: user=<[^<>]*>,.* rip=127\.0\.0\.1, .*\n", as_dovecot)


@all_protocols
def test_combined_tells_who_has_logged_in_where_and_how_it_ended(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script(echo))
    proxy = scene.proxy(case.protocol, scene.auth_for(backend), access_log=access_log(COMBINED))
    scene.visit(proxy, case)
    (line,) = proxy.lines.expect(1)
    received, sent = len(case.login) + 5, len(case.greeting + case.answer) + 5
    form = (
        rb'127\.0\.0\.1:\d+ \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] %b %d "user@example\.com" plain 200 '
        rb"client_closed 127\.0\.0\.1:%d \d\.\d{3} \d\.\d{3} %d %d -- [\w-]{16}\n"
    )
    ports = proxy.address[1], backend.address.port
    assert re.fullmatch(form % (case.protocol.encode(), ports[0], ports[1], received, sent), line)


@all_protocols
def test_json_tells_the_same_by_names(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script(echo))
    proxy = scene.proxy(case.protocol, scene.auth_for(backend), access_log=access_log(SpecialFormat.JSON))
    scene.visit(proxy, case)
    (line,) = proxy.lines.expect(1)
    found = json.loads(line)
    expected = {
        "protocol": case.protocol,
        "server_name": "mail.example.com",
        "server_port": proxy.address[1],
        "remote_addr": "127.0.0.1",
        "auth_user": "user@example.com",
        "auth_method": "plain",
        "auth_attempts": 1,
        "auth_source": "http",
        "status": 200,
        "session_end": "client_closed",
        "session_state": "--",
        "upstream_addr": f"127.0.0.1:{backend.address.port}",
        "upstream_bytes_received": len(b"".join(case.backend)) + 5,
        "upstream_bytes_sent": len(case.commands) + 5,
        "bytes_received": len(case.login) + 5,
    }
    assert {name: found[name] for name in expected} == expected
    assert 0 <= found["upstream_login_time"] <= found["upstream_session_time"] <= found["session_time"] + 0.001 < 60


@pytest.mark.parametrize("case", [IMAP, SMTP], ids=lambda case: case.protocol)
def test_times_of_the_backend_are_known_where_a_format_asks_for_them(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script(echo))
    text = b"$upstream_connect_time $upstream_first_byte_time $upstream_login_time $upstream_session_time"
    proxy = scene.proxy(case.protocol, scene.auth_for(backend), access_log=access_log(text))
    scene.visit(proxy, case)
    (line,) = proxy.lines.expect(1)
    connect, first, login, session = map(float, line.split())
    assert 0 <= connect <= first <= login + 0.001
    assert login <= session + 0.001 < 60


@pytest.mark.parametrize(("script", "known"), [(None, b"- -"), (hang_up, b"0 -")], ids=["refused", "nothing said"])
def test_times_that_a_backend_has_not_reached_are_unknown(scene: Scene, script: Script | None, known: bytes) -> None:
    address = scene.nowhere() if script is None else scene.backend(script).address
    text = b"$upstream_connect_time $upstream_first_byte_time"
    proxy = scene.proxy("imap", scene.auth(accepted(address)), access_log=access_log(text))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.rest()
    (line,) = proxy.lines.expect(1)
    assert re.sub(rb"\d+\.\d{3}", b"0", line) == known + b"\n"


def test_tls_is_told_of(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    text = b"$ssl_protocol $ssl_session_reused $ssl_curve $ssl_sigalg $starttls $bytes_received $tls_handshake_time"
    proxy = scene.tls_proxy("imap", scene.auth_for(backend), starttls=Starttls.ON, access_log=access_log(text))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((b"s STARTTLS\r\n", b"s OK completed\r\n"))
    client.start_tls(client_context())
    client.talk((IMAP.login, IMAP.answer))
    client.close()
    (line,) = proxy.lines.expect(1)
    received = len(b"s STARTTLS\r\n" + IMAP.login)
    group = rb"(?:[Xx]25519|0x11ec)"  # X25519MLKEM768, from OpenSSL 3.5 on
    assert re.fullmatch(rb"TLSv1\.3 \. %b ecdsa_secp256r1_sha256 on %d 0\.\d{3}\n" % (group, received), line)


def test_a_line_may_be_written_at_login_and_at_each_refusal(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    auth = scene.auth(*2 * [rejected(b"no", (b"Auth-Wait", b"1"))], accepted(backend.address))
    text = b"$log_event $status $auth_attempts $remote_user $upstream_addr"
    proxy = scene.proxy("imap", auth, access_log=access_log(text, On.ALL))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((b"1 LOGIN a x\r\n", b"1 NO no\r\n"), (b"2 LOGIN b x\r\n", b"2 NO no\r\n"))
    client.talk((IMAP.login, IMAP.answer))
    lines = [b"failure 403 1 a -\n", b"failure 403 2 b -\n"]
    lines.append(b"login 200 3 user@example.com 127.0.0.1:%d\n" % backend.address.port)
    assert proxy.lines.expect(3) == lines
    client.end()
    assert proxy.lines.expect(4)[3] == lines[2].replace(b"login", b"end")


@all_protocols
@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (rejected(b"no"), [b"failure 403 -", b"end 403 auth_failed"]),
        (rejected(b"later", (b"Auth-Error-Code", b"451 4.3.0")), [b"failure 503 -", b"end 503 auth_failed"]),
        (b"HTTP/1.0 503 Down\r\n\r\n", [b"end 500 auth_error"]),
        (accepted(UnixAddress("/nowhere")), [b"end 502 upstream_connect"]),
        (b"", [b"end 400 client_left"]),
    ],
    ids=["wrong", "for now", "no answer", "no backend", "client gone"],
)
def test_the_status_tells_at_whom_a_login_has_failed(
    scene: Scene, case: Case, answer: bytes, lines: list[bytes]
) -> None:
    auth = scene.auth(answer or hang)
    text = b"$log_event $status $session_end"
    proxy = scene.proxy(case.protocol, auth, access_log=access_log(text, On.ALL))
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(case.login if answer else case.login[:3])
    client.rest() if answer else client.end()
    assert proxy.lines.expect(len(lines)) == [line + b"\n" for line in lines]


@pytest.mark.parametrize("on", [On.LOGIN, On.FAILURE])
def test_a_log_of_one_event_has_no_others(scene: Scene, on: On) -> None:
    backend = scene.backend(IMAP.script(echo))
    auth = scene.auth(accepted(backend.address), rejected(b"no"))
    proxy = scene.proxy("imap", auth, access_log=access_log(b"$log_event", on))
    scene.visit(proxy)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.rest()
    proxy.service_is_idle()
    assert proxy.lines.expect(1) == [b"login\n" if on is On.LOGIN else b"failure\n"]


def test_sessions_without_a_byte_are_not_logged(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(hang), access_log=access_log())
    scene.client(proxy).end()
    proxy.service_is_idle()
    client = scene.client(proxy)
    client.send(b"a LOGOUT\r\n")
    client.rest()
    assert proxy.lines.expect(1) == [b"quit\n"]


def test_a_client_whose_session_begins_with_its_words_has_the_line_of_any_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"$log_event $status $session_end $remote_user $auth_method $bytes_received $bytes_sent"
    heard: list[list[bytes]] = []
    for lobby in (False, True):
        monkeypatch.setattr(Entrance, "has_lobby", lobby)
        backend = scene.backend(IMAP.script(echo))
        settings = access_log(text, null_sessions=True)
        proxy = scene.proxy("imap", scene.auth_for(backend), access_log=settings)
        scene.visit(proxy)
        assert bool(proxy.service._beginnings._lobbies) is (lobby and proxy.service._rows is None)
        for words in (b"", b"a LOGOUT\r\n", b"a NOOP\r\n"):
            client = scene.client(proxy)
            client.expect(IMAP.greeting)
            client.send(words) if words else client.end()
            client.end() if b"NOOP" in words else client.rest()
            proxy.service_is_idle()
        heard.append(proxy.lines.expect(4))
    assert heard[0] == heard[1]
    assert [line.split()[2] for line in heard[0]] == [b"client_closed", b"no_bytes", b"quit", b"client_left"]


def test_a_condition_decides_whether_there_is_a_line(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    lines: list[bytes] = []
    for text in (b"0", b"", b"$starttls", b"$protocol", b"00"):
        proxy = scene.proxy("imap", scene.auth_for(backend), access_log=access_log(b"x", condition=parse(text)))
        scene.visit(proxy)
        lines.append(b"".join(proxy.lines.of()))
    assert lines == [b"", b"", b"", b"x\n", b"x\n"]


def test_a_path_with_variables_goes_with_its_value(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    to = AccessLogPattern(Path("/var/log"), parse(b"$protocol/$remote_user_domain"))
    proxy = scene.proxy("imap", scene.auth_for(backend), access_log=access_log(b"x", destination=to))
    scene.visit(proxy)
    proxy.lines.expect(1)
    assert proxy.lines.sent == [(0, b"imap/example.com", b"x\n")]


def test_headers_of_the_answer_are_variables(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    auth = scene.auth_for(backend, (b"X-Some-Header", b"value"), (b"X-Other", b"other"))
    proxy = scene.proxy("imap", auth, access_log=access_log(b"$auth_http_x_some_header $auth_http_x_absent"))
    scene.visit(proxy)
    assert proxy.lines.expect(1) == [b"value -\n"]


def test_where_the_service_gives_another_login_both_are_known(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    auth = scene.auth_for(backend, (b"Auth-User", b"user@example.com"))
    proxy = scene.proxy("imap", auth, access_log=access_log(b"$auth_user $remote_user $auth_method"))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((b"a1 LOGIN alias secret\r\n", IMAP.answer))
    client.end()
    assert proxy.lines.expect(1) == [b"alias user@example.com plain\n"]


def test_a_proxy_header_is_known_to_the_end(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    text = b"$proxy_protocol_addr:$proxy_protocol_port $realip_remote_addr $remote_addr $bytes_received"
    proxy = scene.proxy("imap", scene.auth_for(backend), proxy_protocol=True, access_log=access_log(text))
    client = scene.client(proxy)
    client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 143\r\n")
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    client.end()
    line = b"192.0.2.1:4711 127.0.0.1 127.0.0.1 %d\n" % len(IMAP.login)
    assert proxy.lines.expect(1) == [line]


def test_an_smtp_client_is_known_by_its_helo_to_the_end(scene: Scene) -> None:
    backend = scene.backend(SMTP.script(echo))
    proxy = scene.proxy("smtp", scene.auth_for(backend), access_log=access_log(b"$smtp_helo $auth_method"))
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.send(b"EHLO client.example.org\r\n")
    client.until(b"250 AUTH PLAIN LOGIN\r\n")
    client.send(AUTH_PLAIN)
    client.until(SMTP.answer)
    client.end()
    assert proxy.lines.expect(1) == [b"client.example.org plain\n"]


def test_a_relayed_session_keeps_little_and_times_to_its_end(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    text = b"$auth_time $upstream_login_time $session_time $remote_port"
    proxy = scene.proxy("imap", scene.auth_for(backend), timeout=1000.0, access_log=access_log(text))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    (record,) = proxy.service._sessions.live
    assert isinstance(record, FactsRecord)
    assert record.rare is None
    assert record.who is None
    scene.skip(500.0)
    client.end()
    (line,) = proxy.lines.expect(1)
    auth, login, session, port = line.split()
    assert float(auth) < 60
    assert float(login) < 60
    assert 500 <= float(session) < 560
    assert int(port) == client.address[1]


def test_without_an_access_log_no_record_has_room_for_facts(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    proxy = scene.proxy("imap", scene.auth_for(backend))
    scene.visit(proxy)
    assert not isinstance(proxy.ended[0], FactsRecord)
    assert proxy.lines.sent == []


def test_each_session_tells_of_its_own_client(scene: Scene) -> None:
    backend = scene.backend(IMAP.script(echo))
    text = b"$remote_addr:$remote_port $proxy_protocol_addr $realip_remote_port $auth_attempts"
    for behind in (False, True):
        proxy = scene.proxy("imap", scene.auth_for(backend), proxy_protocol=behind, access_log=access_log(text))
        expected: list[bytes] = []
        for number in range(3):
            client = scene.client(proxy)
            if behind:
                client.send(b"PROXY TCP4 192.0.2.%d 198.51.100.1 %d 143\r\n" % (number, 4000 + number))
            client.expect(IMAP.greeting)
            if number == 1:
                client.talk((IMAP.login, IMAP.answer))
            client.send(b"a LOGOUT\r\n") if number != 1 else client.end()
            port = client.address[1]
            told = b"192.0.2.%d" % number if behind else b"-"
            expected.append(b"127.0.0.1:%d %b %d %d\n" % (port, told, port, number == 1))
            assert proxy.lines.expect(number + 1) == expected
