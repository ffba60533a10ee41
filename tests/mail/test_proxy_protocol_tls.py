"""What a version 2 PROXY header tells a backend about the client's TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.model import InetAddress, ProxyProtocol, VerifyClient
from mailworker.wire.proxy_protocol import TlsTlvs, build_v2
from tests.mail.cases import IMAP
from tests.mail.conftest import Scene
from tests.support.backend import Script
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.peer import Peer
from tests.support.settings import proxy_settings, proxy_ssl_settings, ssl_settings
from tests.tls.peers import client_context

# OpenSSL's code for a certificate that it finds no issuer of, the last of the errors that it then meets.
_UNVERIFIED_LEAF = 21


def behind_header(headers: list[bytes]) -> Script:
    """An IMAP backend that puts the version 2 header aside before it greets."""

    def follow(peer: Peer) -> None:
        fixed = peer.skip(16)
        headers.append(fixed + peer.skip(int.from_bytes(fixed[14:], "big")))
        IMAP.script()(peer)

    return follow


@pytest.mark.parametrize(
    ("shown", "known", "name", "verify"),
    [(False, False, None, 0), (True, True, b"A client", 0), (True, False, b"A client", _UNVERIFIED_LEAF)],
    ids=["no certificate", "a known client", "a stranger"],
)
def test_the_backend_hears_of_the_clients_tls(
    scene: Scene, tmp_path: Path, shown: bool, known: bool, name: bytes | None, verify: int
) -> None:
    headers: list[bytes] = []
    auth = scene.auth_for(scene.backend(behind_header(headers)))
    authority = CertificateAuthority(tmp_path)
    trusted = authority.path if known else scene.certificate.certificate
    tls = ssl_settings(scene.certificate, verify_client=VerifyClient.OPTIONAL_NO_CA, trusted_certificate=str(trusted))
    settings = proxy_settings(proxy_protocol=ProxyProtocol.V2)
    proxy = scene.proxy("imap", auth, ssl=tls, proxy=settings, implicit_tls=True)
    client = scene.client(proxy)
    context = client_context(certificate=authority.issue_client("client", ecdsa_key(), "A client") if shown else None)
    context.set_alpn_protocols(["imap"])
    client.start_tls(context)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    cipher = auth.header(b"Auth-SSL-Cipher")
    assert cipher is not None
    expected = TlsTlvs(b"TLSv1.3", cipher, b"ecdsa-with-SHA256", b"EC256", b"mail.example.com", b"imap", name, verify)
    assert headers == [build_v2(InetAddress(*client.address), InetAddress(*proxy.address), expected)]


@pytest.mark.parametrize("version", [ProxyProtocol.V1, ProxyProtocol.V2])
@pytest.mark.parametrize("tls", [False, True], ids=["in clear", "in TLS"])
def test_the_header_is_alone_in_the_first_segment(scene: Scene, version: ProxyProtocol, tls: bool) -> None:
    """A backend that greets late has it before anything else is said; a ClientHello comes in segments of its own."""
    segments: list[int] = []
    headers: list[bytes] = []

    def count(peer: Peer) -> None:
        header = peer.line() if version is ProxyProtocol.V1 else peer.skip(16)
        if version is ProxyProtocol.V2:
            header += peer.skip(int.from_bytes(header[14:], "big"))
        headers.append(header)
        hello = peer.skip(1) if tls else b""
        segments.append(peer.segments)
        assert hello == (b"\x16" if tls else b"")
        peer.close()

    settings = proxy_settings(proxy_protocol=version, ssl=proxy_ssl_settings() if tls else None)
    backend = scene.backend(count)
    proxy = scene.tls_proxy("imap", scene.auth_for(backend), proxy=settings, implicit_tls=True)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.rest()
    backend.heard()
    assert segments == [2 if tls else 1]
    assert headers[0].startswith(b"PROXY TCP4 " if version is ProxyProtocol.V1 else b"\r\n\r\n\0\r\nQUIT\n")
