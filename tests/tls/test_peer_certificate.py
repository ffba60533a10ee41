"""The facts of a client's certificate are byte for byte those that nginx sends to its auth service."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from mailworker.model import VerifyClient
from tests.support.certificates import Certificate, self_signed
from tests.support.daemon import ServerUnavailable
from tests.support.nginx import Nginx
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.tls.conftest import Connect
from tests.tls.peers import build, client_context

CONFIGURATION = """
events {{ worker_connections 64; }}
pid nginx.pid;
mail {{
    auth_http 127.0.0.1:{auth_port};
    auth_http_pass_client_cert on;
    server {{
        listen 127.0.0.1:{port} ssl;
        protocol imap;
        ssl_certificate {server.certificate};
        ssl_certificate_key {server.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_verify_client optional_no_ca;
    }}
}}
"""

SUBJECTS = [
    "/C=SE/O=Example, Inc./OU=Mail/CN=joe",
    '/O=a+b;c<d>e"f\\\\g/CN= #joe ',
    "/CN=Jürgen Größe/emailAddress=joe@example.com",
]


class AuthService:
    """Takes one request after the other and keeps their headers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[dict[bytes, bytes]] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connected, _ = self._listener.accept()
            with connected, connected.makefile("rb") as lines:
                head = [line.rstrip(b"\r\n").partition(b": ") for line in iter(lines.readline, b"\r\n") if line]
                if not head:
                    return
                self.requests.append({name: value for name, _, value in head})
                connected.sendall(b"HTTP/1.0 200 OK\r\nAuth-Status: no\r\n\r\n")

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"\r\n")
        self._thread.join()
        self._listener.close()


@pytest.fixture(scope="module")
def auth_service() -> Iterator[AuthService]:
    with closing(AuthService()) as service:
        yield service


@pytest.fixture(scope="module")
def nginx_port(
    tmp_path_factory: pytest.TempPathFactory, auth_service: AuthService, ecdsa: Certificate
) -> Iterator[int]:
    with closing(Ports()) as ports:
        port = ports["nginx"]
        text = CONFIGURATION.format(auth_port=auth_service.port, port=port, server=ecdsa)
        try:
            nginx = Nginx(tmp_path_factory.mktemp("nginx"), text, [("127.0.0.1", port)])
        except ServerUnavailable as error:
            pytest.skip(str(error))
        yield port
        nginx.stop()


@pytest.mark.oracle
@pytest.mark.parametrize("subject", SUBJECTS)
def test_facts_are_those_of_nginx(
    connect: Connect,
    ecdsa: Certificate,
    auth_service: AuthService,
    nginx_port: int,
    tmp_path: Path,
    subject: str,
) -> None:
    issued = self_signed(tmp_path, "client", subject)
    client = client_context(certificate=issued)
    plain = socket.create_connection(("127.0.0.1", nginx_port), timeout=PATIENCE)
    with client.wrap_socket(plain) as imap:
        assert imap.recv(100).startswith(b"* OK")
        imap.sendall(b"a LOGIN joe secret\r\n")
        assert imap.recv(100).startswith(b"a NO")
    sent = auth_service.requests[-1]
    pair = connect(build(ecdsa, verify_client=VerifyClient.OPTIONAL_NO_CA), client).shake_hands()
    certificate = pair.server.peer_certificate
    assert certificate is not None
    assert sent[b"Auth-SSL-Subject"] == certificate.subject
    assert sent[b"Auth-SSL-Issuer"] == certificate.issuer
    assert sent[b"Auth-SSL-Serial"] == certificate.serial
    assert sent[b"Auth-SSL-Fingerprint"] == certificate.fingerprint
    assert unquote_to_bytes(sent[b"Auth-SSL-Cert"]) == certificate.pem
    assert sent[b"Auth-SSL-Verify"].decode() == f"FAILED:{pair.server.verify_result[1]}"
    assert sent[b"Auth-SSL-Protocol"].decode() == pair.server.protocol
    assert sent[b"Auth-SSL-Cipher"].decode() == pair.server.cipher
