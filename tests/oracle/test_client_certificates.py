"""What mailworker and nginx make of a client's certificate: the greeting, the Auth-SSL-* headers, the log."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from string import Template

import pytest

from tests.oracle.proxies import Start, mailworker, nginx
from tests.oracle.transcript import sessions
from tests.support.auth_service import AuthService, reject
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, rsa_key, self_signed
from tests.support.daemon import ServerUnavailable
from tests.support.patience import PATIENCE
from tests.support.ports import Ports

pytestmark = pytest.mark.oracle

HEAD = """\
worker_processes 1;
error_log error.log info;
pid proxy.pid;
events { worker_connections 256; }
mail {
    server_name proxy.test;
    auth_http 127.0.0.1:$auth/;
    auth_http_pass_client_cert on;
    ssl_certificate $certificate; ssl_certificate_key $key;
    ssl_protocols TLSv1.2 TLSv1.3;
"""

SERVERS = {
    "off": "",
    "on": "ssl_verify_client on; ssl_client_certificate $authority;",
    "trusted": "ssl_verify_client on; ssl_client_certificate $other; ssl_trusted_certificate $authority;",
    "optional": "ssl_verify_client optional; ssl_client_certificate $authority;",
    "no_ca": "ssl_verify_client optional_no_ca;",
    "crl": "ssl_verify_client on; ssl_client_certificate $authority; ssl_crl $revocations;",
    "shallow": "ssl_verify_client on; ssl_client_certificate $authority; ssl_verify_depth 0;",
}
CLIENTS = ("nobody", "client", "revoked", "stranger", "self-signed", "expired", "odd")
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
CASES = list(product(SERVERS, CLIENTS, VERSIONS))

ODD_SUBJECT = '/C=SE/O=a+b;c<d>e"f\\\\g, Inc./CN=Jürgen Größe #joe /emailAddress=joe@example.com'


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client read, the header lines about TLS that the auth service got, and the log of the session."""

    client: bytes
    headers: list[bytes]
    log: list[str]


def configuration() -> str:
    blocks = [
        f"    server {{ listen 127.0.0.1:${name} ssl; protocol imap; {directives} }}\n"
        for name, directives in SERVERS.items()
    ]
    return HEAD + "".join(blocks) + "}\n"


class Stage:
    """Certificates, ports and an auth service, the same for both proxies."""

    def __init__(self, folder: Path) -> None:
        authority = CertificateAuthority(folder)
        (folder / "other").mkdir()
        other = CertificateAuthority(folder / "other", "Unknown authority")
        server = authority.issue_server("server", rsa_key(), ("proxy.test",))
        revoked = authority.issue_client("revoked", rsa_key(), "A revoked client")
        self.clients: dict[str, Certificate | None] = {
            "nobody": None,
            "client": authority.issue_client("client", ecdsa_key(), "A client"),
            "revoked": revoked,
            "stranger": other.issue_client("stranger", ecdsa_key(), "A stranger"),
            "self-signed": self_signed(folder, "self-signed", "/CN=self"),
            "expired": authority.issue_client("expired", ecdsa_key(), "Expired", validity=timedelta(hours=-1)),
            "odd": self_signed(folder, "odd", ODD_SUBJECT),
        }
        files = {"certificate": server.certificate, "key": server.key, "authority": authority.path}
        files |= {"other": other.path, "revocations": authority.issue_revocation_list("list.crl", revoked)}
        self.auth = AuthService([])
        self.auth.script("joe", lambda request: reject())
        self.ports = Ports()
        values = {name: self.ports[name] for name in SERVERS} | {"auth": self.auth.port}
        self._text = Template(Template(configuration()).safe_substitute(files)).substitute(values)

    def play(self, start: Start, folder: Path) -> dict[int, Outcome]:
        """Every case on one proxy. Raises ServerUnavailable where it is not installed."""
        proxy = start(folder, self._text, [("127.0.0.1", self.ports[name]) for name in SERVERS])
        try:
            seen = [self._visit(number, *case) for number, case in enumerate(CASES)]
        finally:
            proxy.stop()
        log = sessions((folder / "error.log").read_text(encoding="utf-8", errors="backslashreplace"))
        return {
            number: Outcome(client, headers, log.get(_address(number), []))
            for number, (client, headers) in enumerate(seen)
        }

    def _visit(self, number: int, server: str, name: str, version: ssl.TLSVersion) -> tuple[bytes, list[bytes]]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        if (own := self.clients[name]) is not None:
            context.load_cert_chain(own.certificate, own.key)
        asked = len(self.auth.requests)
        address = ("127.0.0.1", self.ports[server])
        with (
            socket.create_connection(address, PATIENCE, source_address=(_address(number), 0)) as plain,
            context.wrap_socket(plain) as client,
        ):
            said = client.recv(1000)
            if said.startswith(b"* OK"):
                client.sendall(b"a LOGIN joe secret\r\n")
                said += client.recv(1000)
        requests = self.auth.requests[asked:]
        return said, [
            line
            for request in requests
            for line in request.raw.split(b"\r\n")
            if line[:9] == b"Auth-SSL:" or line[:9] == b"Auth-SSL-"
        ]

    def close(self) -> None:
        self.auth.stop()
        self.ports.close()


def _address(number: int) -> str:
    return f"127.1.{number // 200}.{number % 200 + 1}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("certificates"))
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def of_nginx(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcome]:
    try:
        return stage.play(nginx, tmp_path_factory.mktemp("nginx"))
    except ServerUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def of_mailworker(
    stage: Stage, of_nginx: dict[int, Outcome], tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Outcome]:
    return stage.play(mailworker, tmp_path_factory.mktemp("mailworker"))


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{server}-{client}-{version.name}" for server, client, version in CASES]
)
def test_a_certificate_is_judged_and_told_as_nginx_does(
    number: int, of_nginx: dict[int, Outcome], of_mailworker: dict[int, Outcome]
) -> None:
    ours = of_mailworker[number]
    assert ours == of_nginx[number]
    assert ours.client
    assert bool(ours.headers) is ours.client.startswith(b"* OK")
