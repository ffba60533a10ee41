"""Attacks on ManageSieve before the login: what docs/security.md promises of the other protocols holds here, too."""

from __future__ import annotations

from base64 import b64encode

import pytest

from mailworker.mail.end import End
from mailworker.model import AuthMethod, Starttls
from tests.mail.cases import CREDENTIALS, SIEVE
from tests.mail.conftest import Scene
from tests.support.backend import hang
from tests.support.peer import Peer
from tests.support.settings import dialogue_settings
from tests.tls.peers import client_context

STARTTLS, GO_AHEAD = b"STARTTLS\r\n", b'OK "Begin TLS negotiation now."\r\n'
BYE = b'BYE "Too many invalid commands, or one too long."\r\n'
# Each is tried as a login and as a password.
HOSTILE = {
    "CR LF and commands": b"u\r\nUNAUTHENTICATE\r\n",
    "LF and a command": b"u\nLOGOUT",
    "quotes": b'u" "p\\"',
    "a literal": b"u {3+}\r\nabc",
    "8-bit bytes": b"\xff\xfe\x80",
    "control bytes": bytes(range(1, 10)) + b"\x0b\x0c" + bytes(range(14, 33)) + b"\x7f",
}


def greeted(scene: Scene, **changes: object) -> tuple[Peer, list[object]]:
    """A client, and the sessions that have ended."""
    auth = scene.auth_for(scene.backend(SIEVE.script()))
    proxy = scene.proxy("sieve", auth, **changes)  # type: ignore[arg-type]
    client = scene.client(proxy)
    client.expect(SIEVE.greeting)
    return client, proxy.ended  # type: ignore[return-value]


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("as_login", [True, False])
def test_a_backend_hears_our_commands_only(scene: Scene, hostile: bytes, as_login: bool) -> None:
    login, password = (hostile, b"p") if as_login else (b"u", hostile)
    backend = scene.backend(SIEVE.script())
    client = scene.client(scene.proxy("sieve", scene.auth_for(backend)))
    client.expect(SIEVE.greeting)
    client.send(b'AUTHENTICATE "LOGIN"\r\n')
    client.line()
    client.talk((b'"%b"\r\n' % b64encode(login), b'"UGFzc3dvcmQ6"\r\n'))
    client.talk((b'"%b"\r\n' % b64encode(password), SIEVE.answer), (b"ping\r\n", b"ping\r\n"))
    response = b64encode(b"\0%b\0%b" % (login, password))
    assert backend.peer().received == b'AUTHENTICATE "PLAIN" "%b"\r\nping\r\n' % response


@pytest.mark.parametrize("as_login", [True, False])
def test_nul_in_a_login_reaches_no_backend(scene: Scene, as_login: bool) -> None:
    backend = scene.backend(SIEVE.script(hang))
    client = scene.client(scene.proxy("sieve", scene.auth_for(backend)))
    client.expect(SIEVE.greeting)
    client.send(b'AUTHENTICATE "LOGIN"\r\n')
    client.line()
    for value in (b"u\0root", b"p") if as_login else (b"u", b"p\0root"):
        client.send(b'"%b"\r\n' % b64encode(value))
        answer = client.line()
    assert answer == b'NO "Invalid command."\r\n'
    assert backend.heard() == b""


@pytest.mark.parametrize("said", [b"LOGOUT\r\n", SIEVE.login, b'NOOP "x"\r\n', b'PUTSCRIPT "x" {5+}\r\n'])
def test_plaintext_behind_starttls_is_never_executed(scene: Scene, said: bytes) -> None:
    auth = scene.auth_for(scene.backend(SIEVE.script()))
    client = scene.client(scene.tls_proxy("sieve", auth, starttls=Starttls.ON))
    client.until(b'OK "ManageSieve ready."\r\n')
    client.talk((STARTTLS + said, GO_AHEAD))
    client.start_tls(client_context())
    client.expect(SIEVE.greeting)
    client.talk(SIEVE.noop)
    assert auth.requests == []


def test_nobody_logs_in_in_clear_where_starttls_is_demanded(scene: Scene) -> None:
    auth = scene.auth_for(scene.backend(SIEVE.script()))
    dialogue = dialogue_settings("sieve", auth=AuthMethod(255))
    client = scene.client(scene.tls_proxy("sieve", auth, starttls=Starttls.ONLY, dialogue=dialogue))
    assert b'"SASL" ""\r\n' in client.until(b'OK "ManageSieve ready."\r\n')
    for mechanism in (b"PLAIN", b"LOGIN", b"CRAM-MD5", b"EXTERNAL", b"XOAUTH2", b"OAUTHBEARER", b"FOO"):
        for response in (b"", b' "%b"' % CREDENTIALS, b" {4+}\r\neA=="):
            client.send(b'AUTHENTICATE "%b"%b\r\n' % (mechanism, response))
            assert client.line() == b'NO (ENCRYPT-NEEDED) "STARTTLS is needed first."\r\n'
    assert auth.requests == []
    client.talk((STARTTLS, GO_AHEAD))
    client.start_tls(client_context())
    client.until(b'OK "ManageSieve ready."\r\n')
    client.talk((SIEVE.login, SIEVE.answer))


@pytest.mark.parametrize(
    "said",
    [
        b"NOOP {4294967296+}\r\n",
        b"NOOP {99999999999999999999+}\r\n",
        b'PUTSCRIPT "x" {200000+}\r\n',
        b'NOOP "' + b"x" * 5000,
        b"x" * 5000,
        b"(" * 5000,
        b"FOO\r\n" * 5,
    ],
    ids=lambda said: repr(said[:30]),
)
def test_what_fits_no_buffer_or_is_too_often_wrong_ends_with_bye(scene: Scene, said: bytes) -> None:
    client, ended = greeted(scene)
    client.send(said)
    assert client.rest().endswith(BYE)
    assert len(ended) == 1


def test_a_client_that_dawdles_in_a_literal_is_gone_at_timeout(scene: Scene) -> None:
    client, ended = greeted(scene, timeout=1000.0)
    client.send(b"NOOP {100+}\r\nabc")
    scene.skip(1100.0)
    assert client.rest() == b""
    assert ended[0].reason is End.CLIENT_TIMEOUT  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "said",
    [
        b'AUTHENTICATE "PLAIN" "hunter2',
        b'AUTHENTICATE "PLAIN" {7+}\r\nhunter2\r\n',
        b'AUTHENTICATE "LOGIN"\r\n"dQ=="\r\n"hunter2"\r\n',
        b'AUTHENTICATE "PLAIN"\r\n"hunter2\r\n',
        b'AUTHENTICATE "PLAIN"\r\n{7+}\r\nhunter2\r\n',
        b'FOO "hunter2"\r\n' * 5,
        b'AUTHENTICATE "PLAIN" "hunter2' + b"x" * 5000,
        b'AUTHENTICATE "PLAIN"\r\n"hunter2' + b"x" * 5000,
    ],
)
def test_no_shape_of_a_secret_is_in_the_log(scene: Scene, said: bytes) -> None:
    auth = scene.auth_for(scene.backend(SIEVE.script()))
    proxy = scene.proxy("sieve", auth)
    client = scene.client(proxy)
    client.expect(SIEVE.greeting)
    client.send(said)
    client.end()
    client.rest()
    assert not [line for line in proxy.log.lines if "hunter2" in line]
