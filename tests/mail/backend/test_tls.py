"""Backends over TLS: what is said in clear and what is not, whom a password goes to, and what is logged."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mailworker.model import InetAddress, ProxyProtocol
from mailworker.wire.proxy_protocol import build_v1
from tests.mail.cases import CASES, IMAP, LITERAL_PLUS, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import AuthService
from tests.support.backend import Script, ScriptedServer, conversation, echo, hang
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import access_log, proxy_settings, proxy_ssl_settings
from tests.tls.peers import client_context

NAME = "imap.example.com"
MEGABYTE = 1 << 20

# What a backend says and hears in clear before the handshake of `proxy_ssl starttls`.
IN_CLEAR = {
    "imap": ((b"* OK backend\r\n", b"a1 OK go ahead\r\n"), b"a1 STARTTLS\r\n"),
    "pop3": ((b"+OK backend\r\n", b"+OK go ahead\r\n"), b"STLS\r\n"),
    "smtp": (
        (b"220 backend\r\n", b"250-backend\r\n250 STARTTLS\r\n", b"220 go ahead\r\n"),
        b"EHLO mail.example.com\r\nSTARTTLS\r\n",
    ),
}


@dataclass(frozen=True, slots=True)
class Pki:
    """`server` is for 127.0.0.1 and NAME; `revoked` is a list that it stands on."""

    authority: Path
    server: Certificate
    client: Certificate
    revoked: Path


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    authority = CertificateAuthority(tmp_path_factory.mktemp("backend"))
    server = authority.issue_server("backend", ecdsa_key(), (NAME, "127.0.0.1"))
    client = authority.issue_client("proxy", ecdsa_key(), "A proxy")
    return Pki(authority.path, server, client, authority.issue_revocation_list("crl.pem", server))


def server_context(pki: Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    return context


class Backend:
    """Backends that encrypt, from the first byte or when asked, and what they saw of each connection's handshake."""

    def __init__(self, case: Case, context: ssl.SSLContext, *, starttls: bool = False, then: Script = echo) -> None:
        self.handshakes: list[ssl.SSLSocket] = []
        self._case = case
        self._context = context
        self._starttls = starttls
        self._then = then

    def __call__(self, peer: Peer) -> None:
        if self._starttls:
            conversation(*IN_CLEAR[self._case.protocol][0], then=self._encrypted)(peer)
        else:
            self._encrypted(peer)

    def _encrypted(self, peer: Peer) -> None:
        self.handshakes.append(peer.serve_tls(self._context))
        greeting, *replies = self._case.backend
        if self._starttls:  # who has greeted in clear does not do it again
            peer.line()
            greeting, *replies = replies
        conversation(greeting, *replies, then=self._then)(peer)


def log_in(scene: Scene, case: Case, script: Script, **tls: Any) -> tuple[Peer, ScriptedServer, Proxy]:
    """A client that has asked for its login; `tls` are fields of ProxySslSettings."""
    backend = scene.backend(script)
    proxy = scene.proxy(case.protocol, scene.auth_for(backend), proxy=over_tls(**tls))
    return ask(scene, proxy, case), backend, proxy


def over_tls(**tls: Any) -> Any:
    return proxy_settings(ssl=proxy_ssl_settings(**tls))


def ask(scene: Scene, proxy: Proxy, case: Case) -> Peer:
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(case.login)
    return client


def refused(scene: Scene, case: Case, script: Script, **tls: Any) -> tuple[str, bytes]:
    """What is logged of a login that comes to nothing, and what the backend has heard."""
    client, backend, proxy = log_in(scene, case, script, **tls)
    client.expect(case.error)
    assert client.rest() == b""
    (line,) = [line for line in proxy.log.lines if "upstream" in line and "[info]" not in line]
    return line, backend.heard()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("starttls", [False, True], ids=["on", "starttls"])
@all_protocols
def test_the_login_and_all_that_follows_are_encrypted(
    scene: Scene, pki: Pki, case: Case, starttls: bool, version: ssl.TLSVersion
) -> None:
    context = server_context(pki)
    context.minimum_version = context.maximum_version = version
    client, backend, _ = log_in(scene, case, Backend(case, context, starttls=starttls), starttls=starttls)
    client.expect(case.answer)
    client.talk((b"a line\r\n", b"a line\r\n"))
    client.end()
    assert client.rest() == b""
    in_clear = IN_CLEAR[case.protocol][1] if starttls else b""
    assert backend.heard() == in_clear + case.commands + b"a line\r\n"


@pytest.mark.parametrize("starttls", [False, True], ids=["on", "starttls"])
@pytest.mark.parametrize("text", [b"$upstream_connect_time $upstream_first_byte_time", b"$upstream_first_byte_time"])
def test_times_are_known_where_the_backend_greets_after_the_handshake(
    scene: Scene, pki: Pki, starttls: bool, text: bytes
) -> None:
    """Whoever waits for the first byte before, waits for a backend that waits for the handshake."""
    auth = scene.auth_for(scene.backend(Backend(IMAP, server_context(pki), starttls=starttls)))
    proxy = scene.proxy("imap", auth, proxy=over_tls(starttls=starttls), access_log=access_log(text))
    client = ask(scene, proxy, IMAP)
    client.expect(IMAP.answer)
    client.end()
    times = [float(word) for word in proxy.lines.expect(1)[0].split()]
    assert (len(times), times) == (text.count(b"$"), sorted(times))


def test_a_greeting_that_comes_over_tls_counts(scene: Scene, pki: Pki) -> None:
    client, backend, _ = log_in(scene, LITERAL_PLUS, Backend(LITERAL_PLUS, server_context(pki)))
    client.expect(IMAP.answer)
    client.end()
    client.rest()
    assert backend.heard() == LITERAL_PLUS.commands


@pytest.mark.parametrize("tls", [False, True], ids=["a plain client", "a client over TLS"])
def test_much_is_relayed_byte_for_byte(scene: Scene, pki: Pki, tls: bool) -> None:
    there, back = (Random(seed).randbytes(4 * MEGABYTE) for seed in (1, 2))
    digests: list[bytes] = []

    def swap(peer: Peer) -> None:
        heard = sha256()
        peer.stream(pieces(back), len(there), heard.update)
        digests.append(heard.digest())
        hang(peer)

    script = Backend(IMAP, server_context(pki), then=swap)
    backend = scene.backend(script)
    auth = scene.auth_for(backend)
    if tls:
        client = scene.client(scene.tls_proxy("imap", auth, implicit_tls=True, proxy=over_tls()))
        client.start_tls(client_context())
    else:
        client = scene.client(scene.proxy("imap", auth, proxy=over_tls()))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    heard = sha256()
    client.stream(pieces(there), len(back), heard.update)
    client.close()
    backend.heard()  # to its end
    assert heard.digest() == sha256(back).digest()
    assert digests == [sha256(there).digest()]


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[start : start + 30_000] for start in range(0, len(data), 30_000))


@pytest.mark.parametrize("name", [None, NAME, "IMAP.example.com"], ids=["its address", "its name", "in capitals"])
def test_a_backend_that_is_who_it_should_be_is_trusted(scene: Scene, pki: Pki, name: str | None) -> None:
    script = Backend(IMAP, server_context(pki))
    client, _, _ = log_in(scene, IMAP, script, verify=True, trusted_certificate=str(pki.authority), name=name)
    client.expect(IMAP.answer)


@pytest.mark.parametrize("starttls", [False, True], ids=["on", "starttls"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "other.example.com"}, 'upstream SSL certificate does not match "other.example.com"'),
        ({"name": "192.0.2.1"}, 'upstream SSL certificate does not match "192.0.2.1"'),
        ({"trusted": "client"}, "upstream SSL certificate verify error: (21:unable to verify the first certificate)"),
        ({"crl": True}, "upstream SSL certificate verify error: (23:certificate revoked)"),
    ],
    ids=["another name", "another address", "another authority", "revoked"],
)
@all_protocols
def test_no_password_goes_to_a_backend_that_is_not(
    scene: Scene, pki: Pki, case: Case, changes: dict[str, Any], reason: str, starttls: bool
) -> None:
    trusted = scene.certificate.certificate if "trusted" in changes else pki.authority
    line, heard = refused(
        scene,
        case,
        Backend(case, server_context(pki), starttls=starttls),
        starttls=starttls,
        verify=True,
        trusted_certificate=str(trusted),
        name=changes.get("name"),
        crl=str(pki.revoked) if "crl" in changes else None,
    )
    assert f"[error] *1 {reason} while SSL handshaking to upstream, client: 127.0.0.1, server: " in line
    assert heard == (IN_CLEAR[case.protocol][1] if starttls else b"")


def test_nobody_is_doubted_without_proxy_ssl_verify(scene: Scene, pki: Pki) -> None:
    client, _, _ = log_in(scene, IMAP, Backend(IMAP, server_context(pki)), name="other.example.com")
    client.expect(IMAP.answer)


@all_protocols
def test_what_comes_in_clear_behind_the_go_ahead_ends_the_login(scene: Scene, case: Case) -> None:
    *before, go_ahead = IN_CLEAR[case.protocol][0]
    script = conversation(*before, go_ahead + case.backend[-1])
    line, heard = refused(scene, case, script, starttls=True)
    assert "[error] *1 upstream sent data before SSL handshake while SSL handshaking to upstream, client: " in line
    assert heard == IN_CLEAR[case.protocol][1]


@pytest.mark.parametrize(
    ("case", "refusal"),
    [(IMAP, b"a1 BAD what?\r\n"), (POP3, b"-ERR what?\r\n"), (SMTP, b"502 5.5.1 what?\r\n")],
    ids=["imap", "pop3", "smtp"],
)
def test_a_backend_that_knows_no_starttls_gets_no_password(scene: Scene, case: Case, refusal: bytes) -> None:
    line, heard = refused(scene, case, conversation(*IN_CLEAR[case.protocol][0][:-1], refusal), starttls=True)
    assert "[error] *1 upstream sent invalid response: " in line
    assert "what?" in line
    assert heard == IN_CLEAR[case.protocol][1]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (conversation(b"* OK I am plain\r\n"), "SSL_do_handshake() failed (SSL: error:"),
        (lambda peer: peer.skip(1), "peer closed connection in SSL handshake"),
    ],
    ids=["no TLS there", "nobody there"],
)
def test_a_handshake_that_fails_is_the_backends_fault(scene: Scene, script: Script, message: str) -> None:
    line, _ = refused(scene, IMAP, script)
    assert f"[error] *1 {message}" in line
    assert " while SSL handshaking to upstream, client: 127.0.0.1, server: " in line
    assert ', login: "user@example.com", upstream: 127.0.0.1:' in line


@pytest.mark.parametrize(
    ("starttls", "replies", "action"),
    [
        (False, 0, "reading response from upstream"),
        (False, 1, "sending LOGIN command to upstream"),
        (False, 2, "sending user name to upstream"),
        (False, 3, "sending password to upstream"),
        (True, 0, "sending LOGIN command to upstream"),
        (True, 1, "sending user name to upstream"),
    ],
)
def test_what_a_login_waits_for_in_vain_is_logged(
    scene: Scene, pki: Pki, starttls: bool, replies: int, action: str
) -> None:
    waiting = threading.Event()

    def encrypted(peer: Peer) -> None:
        peer.serve_tls(server_context(pki))
        greeted = int(starttls)  # in clear, and not again
        if greeted:
            peer.line()
        for reply in IMAP.backend[greeted : greeted + replies]:
            peer.send(reply)
            peer.line()
        waiting.set()
        hang(peer)

    script = conversation(*IN_CLEAR["imap"][0], then=encrypted) if starttls else encrypted
    client, _, proxy = log_in(scene, IMAP, script, starttls=starttls)
    assert waiting.wait(PATIENCE)
    scene.skip(61)
    client.expect(IMAP.error)
    (line,) = [line for line in proxy.log.lines if "timed out" in line]
    assert f"upstream timed out (110: Connection timed out) while {action}, client: " in line


def test_a_handshake_that_takes_too_long_ends_the_login(scene: Scene) -> None:
    client, backend, proxy = log_in(scene, IMAP, hang)
    wait_until(lambda: bool(backend.peer().received), "a ClientHello")
    scene.skip(61)
    client.expect(IMAP.error)
    assert client.rest() == b""
    (line,) = [line for line in proxy.log.lines if "timed out" in line]
    assert "[info] *1 upstream timed out (110: Connection timed out) while SSL handshaking to upstream, " in line


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("reuse", [True, False], ids=["on", "off"])
def test_the_second_login_resumes_the_session_of_the_first(
    scene: Scene, pki: Pki, reuse: bool, version: ssl.TLSVersion
) -> None:
    context = server_context(pki)
    context.minimum_version = context.maximum_version = version
    script = Backend(IMAP, context)
    tls = over_tls(session_reuse=reuse, verify=True, trusted_certificate=str(pki.authority))
    auth: AuthService = scene.auth_for(scene.backend(script))
    proxy = scene.proxy("imap", auth, proxy=tls)
    for _ in range(3):
        ask(scene, proxy, IMAP).expect(IMAP.answer)
    assert [handshake.session_reused for handshake in script.handshakes] == [False, reuse, reuse]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"server_name": True, "name": NAME}, NAME), ({"name": NAME}, None), ({"server_name": True}, None)],
    ids=["on", "off", "an address is no name"],
)
def test_the_backend_is_asked_for_by_its_name(
    scene: Scene, pki: Pki, changes: dict[str, Any], expected: str | None
) -> None:
    names: list[str | None] = []
    context = server_context(pki)
    context.sni_callback = lambda connection, name, context: names.append(name)
    client, _, _ = log_in(scene, IMAP, Backend(IMAP, context), **changes)
    client.expect(IMAP.answer)
    assert names == [expected]


def test_the_backend_is_shown_a_certificate(scene: Scene, pki: Pki) -> None:
    context = server_context(pki)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.authority)
    script = Backend(IMAP, context)
    certificate, key = str(pki.client.certificate), str(pki.client.key)
    client, _, _ = log_in(scene, IMAP, script, certificate=certificate, certificate_key=key)
    client.expect(IMAP.answer)
    (handshake,) = script.handshakes
    shown = handshake.getpeercert()
    assert shown is not None
    assert shown["subject"] == ((("commonName", "A proxy"),),)


def test_a_backend_that_wants_a_certificate_in_vain_is_at_fault(scene: Scene, pki: Pki) -> None:
    context = server_context(pki)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    line, _ = refused(scene, IMAP, Backend(IMAP, context))
    assert "handshake failure" in line


@pytest.mark.parametrize("case", CASES[:2], ids=["imap", "pop3"])
@pytest.mark.parametrize("starttls", [False, True], ids=["on", "starttls"])
def test_the_proxy_header_comes_first_and_in_clear(scene: Scene, pki: Pki, case: Case, starttls: bool) -> None:
    headers: list[bytes] = []
    encrypt = Backend(case, server_context(pki), starttls=starttls)

    def follow(peer: Peer) -> None:
        headers.append(peer.one_line())
        encrypt(peer)

    tls = proxy_settings(ssl=proxy_ssl_settings(starttls=starttls), proxy_protocol=ProxyProtocol.V1)
    proxy = scene.proxy(case.protocol, scene.auth_for(scene.backend(follow)), proxy=tls)
    client = ask(scene, proxy, case)
    client.expect(case.answer)
    assert headers == [build_v1(InetAddress(*client.address), InetAddress(*proxy.address))]


def test_debug_lines_tell_what_was_agreed_on(scene: Scene, pki: Pki) -> None:
    watched = scene.proxy(
        "imap",
        scene.auth_for(scene.backend(Backend(IMAP, server_context(pki)))),
        proxy=over_tls(),
        debug_connection=(ip_network("127.0.0.0/8"),),
    )
    ask(scene, watched, IMAP).expect(IMAP.answer)
    assert any(
        "[debug] *1 TLSv1.3 with TLS_AES_256_GCM_SHA384 while SSL handshaking" in line for line in watched.log.lines
    )
