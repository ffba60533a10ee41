"""ManageSieve through the proxy to Dovecot's Pigeonhole and to Cyrus's timsieved, by real clients."""

from __future__ import annotations

import imaplib
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.clients import TIMEOUT, Security
from tests.real.proxy import Proxy, is_oracle, running
from tests.support.auth_service import AuthService, accept
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.cyrus import Cyrus
from tests.support.daemon import Address, ServerUnavailable, find_program
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.wire.test_sieve_line import REFUSED, TAKEN, U

HERE = Path(__file__).with_name("sieve_clients")
CONFIGURATION = """\
worker_processes 2;
error_log error.log info;
pid proxy.pid;
events {
    worker_connections 512;
}
mail {
    server_name proxy.example.test;
    auth_http 127.0.0.1:$auth_service/;
    ssl_certificate $certificate;
    ssl_certificate_key $key;
    sieve_auth plain login cram-md5 oauthbearer xoauth2;
    sieve_capabilities "IMPLEMENTATION mailworker" "SIEVE fileinto vacation envelope" "NOTIFY mailto";
    server {
        listen 127.0.0.1:$sieve;
        protocol sieve;
        starttls on;
    }
    server {
        listen 127.0.0.1:$sieves ssl;
        protocol sieve;
    }
}
"""
# 200 KB, with the word that ends sessions, and with what other protocols have as the end of a text.
SCRIPT = (
    'require "fileinto";\r\n/*\r\nUNAUTHENTICATE\r\n.\r\n"ä" {16+}\r\n'
    + "".join(f"{number:60}\r\n" for number in range(3300))
    + '*/\r\nif header "subject" "x" {\r\n  fileinto "Trash";\r\n}\r\n'
).encode()


@dataclass(frozen=True, slots=True)
class Client:
    """A program that puts, lists, activates and fetches a script."""

    name: str
    command: tuple[str, ...]
    securities: tuple[Security, ...] = (Security.STARTTLS,)
    mechanisms: tuple[str, ...] = ("PLAIN",)


SIEVELIB = (sys.executable, str(HERE / "use_sievelib.py"))
CLIENTS = (
    Client("sieve-connect", ("sh", str(HERE / "use_sieve-connect.sh"))),
    Client("sievelib", SIEVELIB, (Security.STARTTLS, Security.TLS), ("PLAIN", "LOGIN", "OAUTHBEARER")),
    Client("managesieve", (sys.executable, str(HERE / "use_managesieve.py")), mechanisms=("PLAIN", "LOGIN")),
    Client(
        "Net_Sieve",
        ("php", str(HERE / "use_net_sieve.php")),
        (Security.STARTTLS, Security.TLS),
        ("PLAIN", "LOGIN", "CRAM-MD5"),
    ),
)
WAYS = [
    (client, security, mechanism)
    for client in CLIENTS
    for security in client.securities
    for mechanism in client.mechanisms
]


@pytest.fixture(scope="module")
def proxy(folder: Path, authority: CertificateAuthority, auth_service: AuthService) -> Iterator[Proxy]:
    if is_oracle():
        pytest.skip("nginx has no ManageSieve")
    certificate = authority.issue_server("sieve", ecdsa_key(), ("localhost", "127.0.0.1"))
    path = folder / "sieve-proxy"
    values: dict[str, object] = {
        "auth_service": auth_service.port,
        "certificate": certificate.certificate,
        "key": certificate.key,
    }
    with running(path, CONFIGURATION, values) as server:
        yield server


@pytest.fixture(scope="module")
def cyrus_accounts(unused_accounts: Iterator[Account]) -> list[Account]:
    """As few as are needed: to write down a password takes Cyrus a while."""
    return [next(unused_accounts) for _ in range(len(CLIENTS) + 2)]


@pytest.fixture(scope="module")
def unused_cyrus_accounts(cyrus_accounts: list[Account]) -> Iterator[Account]:
    return iter(cyrus_accounts)


@pytest.fixture
def account(
    request: pytest.FixtureRequest, unused_accounts: Iterator[Account], unused_cyrus_accounts: Iterator[Account]
) -> Account:
    """An account that no other test uses, of the server that the test is about."""
    return next(unused_cyrus_accounts if "cyrus" in request.node.name else unused_accounts)


@pytest.fixture(scope="module")
def cyrus(folder: Path, cyrus_accounts: list[Account], backend_ports: Ports) -> Iterator[Cyrus]:
    ports = {name: backend_ports[f"sieve_cyrus_{name}"] for name in Cyrus.PORTS}
    try:
        server = Cyrus(folder / "sieve-cyrus", cyrus_accounts, ports)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
def backend(request: pytest.FixtureRequest, account: Account, auth_service: AuthService) -> Iterator[Address]:
    """Where the account's scripts are."""
    server: Dovecot | Cyrus = request.getfixturevalue(request.param)
    if isinstance(server, Cyrus):
        open_mailbox(server, account)
    with auth_service.moved(account.login, {"sieve": server.sieve}):
        yield server.sieve


@dataclass(frozen=True, slots=True)
class Work:
    """What a client has said and fetched, and what the server has of its script."""

    status: int
    output: bytes
    errors: bytes
    fetched: bytes
    stored: bytes


@pytest.fixture
def work(
    proxy: Proxy, authority: CertificateAuthority, account: Account, backend: Address, tmp_path: Path
) -> Callable[[Client, Security, str, str], Work]:
    """Lets a client put, list, activate and fetch a script."""

    def run(client: Client, security: Security, mechanism: str, password: str) -> Work:
        try:
            program = find_program(client.command[0])
        except ServerUnavailable as error:
            pytest.skip(str(error))
        script, fetched = tmp_path / "script", tmp_path / "fetched"
        script.write_bytes(SCRIPT)
        port = proxy.address("sieves" if security is Security.TLS else "sieve")[1]
        arguments = [str(port), security.value, mechanism, account.login, password, "mine", str(script), str(fetched)]
        environment = {**os.environ, "SSL_CERT_FILE": str(authority.path)}
        done = subprocess.run(
            [program, *client.command[1:], *arguments],
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            env=environment,
            cwd=tmp_path,
        )
        got = fetched.read_bytes() if fetched.exists() else b""
        return Work(done.returncode, done.stdout, done.stderr, got, fetch(backend, account) if got else b"")

    return run


def log_in(address: Address, account: Account) -> Peer:
    """A client that has logged in without TLS."""
    client = Peer.connect(address)
    while not client.line().startswith(b"OK"):
        continue
    response = b64encode(f"\0{account.login}\0{account.password}".encode())
    client.send(b'AUTHENTICATE "PLAIN" "%b"\r\n' % response)
    assert client.line().startswith(b"OK")
    return client


def fetch(address: Address, account: Account) -> bytes:
    """The script, as the server itself gives it."""
    client = log_in(address, account)
    client.send(b'GETSCRIPT "mine"\r\n')
    size = re.fullmatch(rb"\{([0-9]+)\}\r\n", client.line())
    assert size is not None
    script = client.skip(int(size[1]))
    client.close()
    return script


@pytest.mark.parametrize(
    ("backend", "client", "security", "mechanism"),
    [("dovecot", *way) for way in WAYS] + [("cyrus", client, Security.STARTTLS, "PLAIN") for client in CLIENTS],
    indirect=["backend"],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_script_of_200_kb_is_put_listed_activated_and_fetched_byte_for_byte(
    work: Callable[[Client, Security, str, str], Work],
    account: Account,
    client: Client,
    security: Security,
    mechanism: str,
) -> None:
    done = work(client, security, mechanism, account.password)
    assert done.status == 0, done.output + done.errors
    assert done.output.split() == [b"mine"]
    assert done.stored == SCRIPT
    # sievelib has its own ends of lines, and Net_Sieve adds one.
    assert done.fetched.splitlines()[: SCRIPT.count(b"\n")] == SCRIPT.splitlines()


@pytest.mark.parametrize("backend", ["dovecot"], indirect=True)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_wrong_password_is_an_error_that_the_client_understands(
    work: Callable[[Client, Security, str, str], Work], client: Client
) -> None:
    done = work(client, Security.STARTTLS, "PLAIN", "wrong")
    assert done.status != 0
    assert not done.fetched
    assert b"Invalid login or password" in done.output + done.errors


@pytest.mark.parametrize("backend", ["dovecot", "cyrus"], indirect=True)
def test_a_backend_that_refuses_is_told_in_our_words(
    proxy: Proxy, account: Account, backend: Address, auth_service: AuthService
) -> None:
    auth_service.script(account.login, lambda _: accept(backend, password="unknown to it"))
    client = Peer.connect(proxy.address("sieve"))
    while not client.line().startswith(b"OK"):
        continue
    client.talk(
        (
            b'AUTHENTICATE "PLAIN" "AHUAcA=="\r\n'.replace(b"AHUAcA==", b64encode(f"\0{account.login}\0x".encode())),
            b'NO "Authentication failed."\r\n',
        )
    )
    client.talk((b"NOOP\r\n", b'OK "Done."\r\n'))
    client.close()


def test_no_client_becomes_another_user_at_cyrus_which_would_let_it(
    proxy: Proxy, cyrus: Cyrus, account: Account, auth_service: AuthService
) -> None:
    """Cyrus obeys UNAUTHENTICATE, also in the literals of commands that it finds wrong."""
    open_mailbox(cyrus, account)
    with auth_service.moved(account.login, {"sieve": cyrus.sieve}):
        direct = log_in(cyrus.sieve, account)
        direct.talk((b"FOO {16+}\r\n" + U, b'NO "Expected a command. Got something else."\r\n'), (b"\r\n", b"OK\r\n"))
        direct.talk((b"LISTSCRIPTS\r\n", b'NO "Authenticate first"\r\n'))
        direct.close()
        for said in REFUSED.values():
            client = log_in(proxy.address("sieve"), account)
            client.send(said)
            client.rest()
            client.close()
        for taken in TAKEN.values():
            client = log_in(proxy.address("sieve"), account)
            said = taken.replace(b"LOGOUT\r\n", b"").replace(b"{4294967295+}\r\n", b"{16+}\r\n")
            client.send(said + b'\r\nHAVESPACE "x" 1\r\nNOOP "the end"\r\n')
            heard = client.until(b"the end")
            assert b"uthenticate first" not in heard, said
            client.close()


def open_mailbox(cyrus: Cyrus, account: Account) -> None:
    """Cyrus makes a mailbox when its owner logs in."""
    with imaplib.IMAP4(*cyrus.imap) as client:
        client.login(account.login, account.password)
