"""What a version 2 PROXY header tells a backend about the client's TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.settings import InetAddress, Protocol, ProxyProtocol, VerifyClient
from mailworker.wire.proxy_protocol import TlsTlvs, build_v2
from tests.mail.cases import IMAP
from tests.mail.conftest import Scene
from tests.support.backend import Script
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.peer import Peer
from tests.support.settings import proxy_settings, ssl_settings
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
    proxy = scene.proxy(Protocol.IMAP, auth, ssl=tls, proxy=settings, implicit_tls=True)
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
