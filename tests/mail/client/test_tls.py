"""Client certificates: who is let in, what the others are told, and what the auth service hears."""

from __future__ import annotations

import ssl
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import pytest

from mailworker.mail.client.tls import Agreements
from mailworker.model import Starttls, VerifyClient
from mailworker.wire.auth_request import tls_headers
from tests.mail.cases import IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import AuthService
from tests.support.backend import hang
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import auth_http_settings, ssl_settings
from tests.tls.peers import client_context

ERROR = {
    IMAP: b"* BYE SSL certificate error\r\n",
    POP3: b"-ERR SSL certificate error\r\n",
    SMTP: b"421 4.7.1 SSL certificate error\r\n",
}
NONE = {
    IMAP: b"* BYE No required SSL certificate\r\n",
    POP3: b"-ERR No required SSL certificate\r\n",
    SMTP: b"421 4.7.1 No required SSL certificate\r\n",
}


class Clients:
    """A known client's certificate, a stranger's, and the authority of the known one."""

    def __init__(self, authority: CertificateAuthority, stranger: CertificateAuthority) -> None:
        self.authority = authority.path
        self.known = authority.issue_client("known", ecdsa_key(), "A client")
        self.stranger = stranger.issue_client("stranger", ecdsa_key(), "A stranger")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    stranger = CertificateAuthority(tmp_path_factory.mktemp("strangers"), "Unknown authority")
    return Clients(CertificateAuthority(tmp_path_factory.mktemp("clients")), stranger)


def connect(
    scene: Scene,
    case: Case,
    clients: Clients,
    mode: VerifyClient,
    certificate: Certificate | None,
    *,
    starttls: bool = False,
    pass_client_cert: bool = False,
) -> tuple[Peer, Proxy, AuthService]:
    """A client of a verifying server, its handshake done."""
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend)
    settings = ssl_settings(scene.certificate, verify_client=mode, client_certificate=str(clients.authority))
    proxy = scene.proxy(
        case.protocol,
        auth,
        ssl=settings,
        starttls=Starttls.ON if starttls else Starttls.OFF,
        implicit_tls=not starttls,
        source=auth_http_settings(auth.address, pass_client_cert=pass_client_cert),
    )
    client = scene.client(proxy)
    if starttls:
        client.expect(case.greeting)
        client.send({IMAP: b"a STARTTLS\r\n", POP3: b"STLS\r\n", SMTP: b"STARTTLS\r\n"}[case])
        client.line()
    client.start_tls(client_context(certificate=certificate))
    return client, proxy, auth


@pytest.mark.parametrize("starttls", [False, True])
@pytest.mark.parametrize("mode", [VerifyClient.ON, VerifyClient.OPTIONAL])
@all_protocols
def test_a_stranger_is_sent_away(
    scene: Scene, clients: Clients, case: Case, mode: VerifyClient, starttls: bool
) -> None:
    client, proxy, _ = connect(scene, case, clients, mode, clients.stranger, starttls=starttls)
    assert client.rest() == ERROR[case]
    assert proxy.log.lines[1].startswith("[info] *1 client SSL certificate verify error: (")


@pytest.mark.parametrize("starttls", [False, True])
@all_protocols
def test_no_certificate_where_one_is_required(scene: Scene, clients: Clients, case: Case, starttls: bool) -> None:
    client, proxy, _ = connect(scene, case, clients, VerifyClient.ON, None, starttls=starttls)
    assert client.rest() == NONE[case]
    assert proxy.log.lines[1].startswith("[info] *1 client sent no required SSL certificate while ")


@pytest.mark.parametrize(
    ("mode", "who", "verify"),
    [
        (VerifyClient.ON, "known", b"SUCCESS"),
        (VerifyClient.OPTIONAL, "known", b"SUCCESS"),
        (VerifyClient.OPTIONAL, None, b"NONE"),
        (VerifyClient.OPTIONAL_NO_CA, "known", b"SUCCESS"),
        (VerifyClient.OPTIONAL_NO_CA, "stranger", b"FAILED:unable to verify the first certificate"),
        (VerifyClient.OPTIONAL_NO_CA, None, b"NONE"),
    ],
)
def test_what_the_auth_service_hears(
    scene: Scene, clients: Clients, mode: VerifyClient, who: str | None, verify: bytes
) -> None:
    certificate: Certificate | None = getattr(clients, who) if who else None
    client, _, auth = connect(scene, IMAP, clients, mode, certificate, pass_client_cert=True)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    assert auth.header(b"Auth-SSL-Verify") == verify
    name = {"known": b"CN=A client", "stranger": b"CN=A stranger", None: None}[who]
    assert auth.header(b"Auth-SSL-Subject") == name
    pem = auth.header(b"Auth-SSL-Cert")
    if certificate is None:
        assert pem is None
    else:
        assert pem is not None
        assert unquote_to_bytes(pem) == certificate.certificate.read_bytes()


def test_the_certificate_itself_is_sent_only_where_that_is_wanted(scene: Scene, clients: Clients) -> None:
    client, _, auth = connect(scene, IMAP, clients, VerifyClient.ON, clients.known)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    assert auth.header(b"Auth-SSL-Fingerprint") is not None
    assert auth.header(b"Auth-SSL-Cert") is None


def test_a_client_that_speaks_another_protocol_is_refused(scene: Scene) -> None:
    proxy = scene.tls_proxy("imap", scene.auth(hang), implicit_tls=True)
    client = scene.client(proxy)
    context = client_context()
    context.set_alpn_protocols(["http/1.1"])
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        client.start_tls(context)
    line = proxy.log.find("SSL_do_handshake() failed")
    assert line.startswith("[info] *1 SSL_do_handshake() failed (SSL: error:")
    assert "no application protocol) while SSL handshaking, client: 127.0.0.1, server: " in line


def test_what_is_told_of_an_agreement_is_made_once_and_remembered_within_bounds() -> None:
    agreements, names = Agreements(), [b"Mail.example.com", None, b"not a host"]
    told = [agreements.facts((b"TLSv1.3", b"TLS_AES_256_GCM_SHA384", name)) for name in names]
    assert [facts.server_name for facts in told] == [b"mail.example.com", None, None]
    assert [facts.headers for facts in told] == [tls_headers(replace(facts, headers=b"")) for facts in told]
    assert agreements.facts((b"TLSv1.3", b"TLS_AES_256_GCM_SHA384", None)) is told[1]
    for number in range(1000):  # of a client that makes names up
        agreements.facts((b"TLSv1.3", b"TLS_AES_256_GCM_SHA384", b"a%d" % number))
    assert len(agreements._known) == 256
    late = (b"TLSv1.2", b"ECDHE-ECDSA-AES256-GCM-SHA384", None)
    assert agreements.facts(late) == agreements.facts(late)
