"""ManageSieve relays: what is handed on, and what is not; and what the neighbours of a login do."""

from __future__ import annotations

import ssl
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from mailworker.config.access_log import On
from mailworker.mail.end import End
from mailworker.model import Starttls
from tests.mail.cases import CREDENTIALS, SIEVE
from tests.mail.conftest import Scene
from tests.support.auth import rejected
from tests.support.backend import Script, ScriptedServer, conversation, echo, hang
from tests.support.daemon import wait_until
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import access_log, proxy_settings
from tests.tls.peers import client_context
from tests.wire.test_sieve_line import REFUSED, TAKEN, U


def relayed(
    scene: Scene, *, tls: bool = False, script: Script = hang, **changes: Any
) -> tuple[Peer, ScriptedServer, Proxy]:
    """A client that is logged in."""
    backend = scene.backend(SIEVE.script(script))
    auth = scene.auth_for(backend)
    if tls:
        proxy = scene.tls_proxy("sieve", auth, implicit_tls=True, **changes)
    else:
        proxy = scene.proxy("sieve", auth, **changes)
    client = scene.client(proxy)
    if tls:
        client.start_tls(client_context())
    client.expect(SIEVE.greeting)
    client.talk((SIEVE.login, SIEVE.answer))
    return client, backend, proxy


def await_heard(backend: ScriptedServer, expected: bytes) -> None:
    wait_until(lambda: len(backend.peer().received) >= len(expected), "the last byte")
    assert backend.peer().received == expected


@pytest.mark.parametrize(
    ("reply", "status", "faults"),
    [
        (b'NO "no"\r\n', b"403", {}),
        (b'NO (TRYLATER) "no database"\r\n', b"503", {"upstream_failures sieve upstream_temp": 1}),
        (b'BYE "busy"\r\n', b"503", {"upstream_failures sieve upstream_temp": 1}),
    ],
    ids=["wrong", "temporary", "busy"],
)
def test_a_backend_s_refusal_is_a_fault_of_it_where_it_is_temporary(
    scene: Scene, reply: bytes, status: bytes, faults: dict[str, int]
) -> None:
    backend = scene.backend(conversation(SIEVE.backend[0], reply))
    log = access_log(b"$status", On.FAILURE)
    proxy = scene.proxy("sieve", scene.auth_for(backend), counted=True, access_log=log)
    client = scene.client(proxy)
    client.expect(SIEVE.greeting)
    client.send(SIEVE.login)
    client.line()
    client.end()
    proxy.service_is_idle()
    assert proxy.lines.expect(1) == [status + b"\n"]
    assert proxy.counts("accepted", "bytes", "ended") == {"auth sieve http plain ok": 1} | faults


in_clear_and_tls = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])


@in_clear_and_tls
@pytest.mark.parametrize("said", REFUSED.values(), ids=REFUSED)
def test_a_session_ends_before_unauthenticate_reaches_its_backend(scene: Scene, said: bytes, tls: bool) -> None:
    client, backend, proxy = relayed(scene, tls=tls)
    client.send(said)
    assert client.rest() == b""
    assert backend.heard() == SIEVE.commands
    (record,) = proxy.ended
    assert record.reason is End.FORBIDDEN_COMMAND
    assert "client sent a command that is not proxied while proxying" in proxy.log.find("not proxied")


@in_clear_and_tls
def test_it_ends_so_however_the_command_is_cut(scene: Scene, tls: bool) -> None:
    client, backend, _ = relayed(scene, tls=tls)
    with suppress(ConnectionError, ssl.SSLError):  # it ends before the last byte
        client.send_slowly(b'NOOP "x"\r\n' + U)
    # Bytes that are read together with the end of the refused command are not passed on either.
    assert (SIEVE.commands + b'NOOP "x"\r\nUNAUTHENTICAT').startswith(backend.heard())


def test_what_came_with_the_login_is_watched_too(scene: Scene) -> None:
    backend = scene.backend(SIEVE.script(hang))
    proxy = scene.proxy("sieve", scene.auth_for(backend))
    client = scene.client(proxy)
    client.send(SIEVE.login + b"NOOP\r\nUNAUTH")
    client.expect(SIEVE.greeting + SIEVE.answer)
    client.send(b"ENTICATE\r\n")
    assert client.rest() == b""
    assert backend.heard() == SIEVE.commands + b"NOOP\r\nUNAUTH"


def test_what_came_with_the_login_and_is_refused_reaches_nobody(scene: Scene) -> None:
    backend = scene.backend(SIEVE.script(hang))
    client = scene.client(scene.proxy("sieve", scene.auth_for(backend)))
    client.send(SIEVE.login + U)
    client.rest()
    assert backend.heard() == SIEVE.commands


@in_clear_and_tls
@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
def test_all_that_rfc_5804_has_is_handed_on(scene: Scene, said: bytes, tls: bool) -> None:
    client, backend, _ = relayed(scene, tls=tls)
    client.send(said)
    await_heard(backend, SIEVE.commands + said)


@in_clear_and_tls
def test_a_script_of_megabytes_comes_through_byte_for_byte(scene: Scene, tls: bool) -> None:
    script = (U * 1000 + Random(1).randbytes(3_000_000)) * 2
    said = b'PUTSCRIPT "x" {%d+}\r\n%b\r\nNOOP\r\n' % (len(script), script)
    client, backend, _ = relayed(scene, tls=tls, proxy=proxy_settings(buffer=4096))
    client.send(said)
    await_heard(backend, SIEVE.commands + said)


def test_the_backends_words_are_not_watched(scene: Scene) -> None:
    def script(peer: Peer) -> None:
        peer.send(U * 3)
        echo(peer)

    client, _, _ = relayed(scene, script=script)
    client.expect(U * 3)
    client.talk((b"NOOP\r\n", b"NOOP\r\n"))


def test_a_list_comes_with_its_ok_in_one_record_after_starttls(scene: Scene) -> None:
    """Net_Sieve and others read no more than what comes at once (RFC 5804 section 2.2)."""
    backend = scene.backend(SIEVE.script(echo))
    client = scene.client(scene.tls_proxy("sieve", scene.auth_for(backend), starttls=Starttls.ONLY))
    while not (line := client.line()).startswith(b"OK"):
        assert line != b'"SASL" "PLAIN"\r\n'
    client.talk((b"STARTTLS\r\n", b'OK "Begin TLS negotiation now."\r\n'))
    client.start_tls(client_context())
    client.expect(SIEVE.greeting)
    client.talk((SIEVE.login, SIEVE.answer), (b"NOOP\r\n", b"NOOP\r\n"))
    assert backend.peer().received == SIEVE.commands + b"NOOP\r\n"


def test_who_guesses_on_after_refusals_by_the_auth_service_is_cut_off(scene: Scene) -> None:
    proxy = scene.proxy("sieve", scene.auth(rejected(b"wrong")), max_errors=3)
    client = scene.client(proxy)
    client.expect(SIEVE.greeting)
    client.talk(*[(SIEVE.login, b'NO "wrong"\r\n')] * 3)
    assert client.rest() == b""
    wait_until(lambda: bool(proxy.ended), "the end of the session")
    assert proxy.ended[0].reason is End.AUTH_FAILED


def test_the_auth_service_hears_the_protocols_name(scene: Scene) -> None:
    backend = scene.backend(SIEVE.script())
    auth = scene.auth_for(backend)
    client = scene.client(scene.proxy("sieve", auth))
    client.expect(SIEVE.greeting)
    client.talk((b'AUTHENTICATE "PLAIN"\r\n', b'""\r\n'), (b'"%b"\r\n' % CREDENTIALS, SIEVE.answer))
    assert (auth.header(b"Auth-Protocol"), auth.header(b"Auth-Method")) == (b"sieve", b"plain")
    assert auth.header(b"Client-Host") is None
