"""What is made of proxy_ssl* directives; whole logins are in tests/mail/backend/test_tls.py."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mailworker.errors import ConfigError
from mailworker.model import Address, InetAddress, UnixAddress
from mailworker.tls.backend import BackendTls
from mailworker.tls.connection import TlsConnection
from tests.support.certificates import CertificateAuthority, ecdsa_key, rsa_key
from tests.support.settings import proxy_ssl_settings
from tests.tls.peers import client_step, tcp_pair

ADDRESS = InetAddress("192.0.2.1", 993)
MOST_SESSIONS = 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backend")
    authority = CertificateAuthority(folder)
    authority.issue_server("server", ecdsa_key(), ("imap.example.com", "192.0.2.1"))
    authority.issue_client("proxy", ecdsa_key(), "proxy")
    authority.issue_client("other", ecdsa_key(), "other")
    authority.issue_client("rsa", rsa_key(), "rsa")
    (folder / "below").mkdir()
    below = CertificateAuthority(folder / "below", "Below", above=authority)
    longer = below.issue_server("longer", ecdsa_key(), ("imap.example.com",))
    with longer.certificate.open("ab") as chain:
        chain.write(below.path.read_bytes())
    (folder / "junk").write_text("junk")
    encrypt = ["openssl", "pkey", "-aes128", "-passout", "pass:secret", "-in", "proxy.key", "-out", "encrypted.key"]
    subprocess.run(encrypt, cwd=folder, check=True, capture_output=True)
    return folder


def build(folder: Path, **changes: Any) -> BackendTls:
    """With "@" for the folder."""
    named = {
        name: value.replace("@", f"{folder}/") if isinstance(value, str) else value for name, value in changes.items()
    }
    return BackendTls.build(proxy_ssl_settings(**named))


@contextmanager
def shaken(folder: Path, backend: BackendTls, address: Address, name: str = "server") -> Iterator[TlsConnection]:
    """A connection to a server that is called imap.example.com and 192.0.2.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    ours, theirs = tcp_pair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, context.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False) as server:
        connection = backend.peer(address).connection(ours.fileno())
        done = False
        while connection.handshake() is not None or not done:
            done = done or client_step(server.do_handshake) is not None
        yield connection
        connection.free()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ciphers": "nonsense"}, 'SSL_CTX_set_cipher_list("nonsense") failed (SSL: error:'),
        (
            {"certificate": "@missing", "certificate_key": "@proxy.key"},
            'cannot load certificate "@missing": BIO_',
        ),
        (
            {"certificate": "@proxy.crt", "certificate_key": "@junk"},
            'cannot load certificate key "@junk": PEM_read_bio',
        ),
        ({"certificate": "@proxy.crt", "certificate_key": "@other.key"}, 'SSL_CTX_use_PrivateKey("@other.key") failed'),
        ({"verify": True, "trusted_certificate": "@missing"}, 'cannot load certificate "@missing": BIO_'),
        (
            {"verify": True, "trusted_certificate": "@authority.crt", "crl": "@junk"},
            'cannot load CRL "@junk": PEM_read_bio_X509_CRL() failed',
        ),
        ({"conf_commands": (("Nonsense", "1"),)}, 'SSL_CONF_cmd("Nonsense", "1") failed'),
        (
            {"certificate": "@proxy.crt", "certificate_key": "@encrypted.key", "passwords": (b"wrong",)},
            'cannot load certificate key "@encrypted.key": PEM_read_bio_PrivateKey() failed',
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_nginxs_words(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(folder, **changes)
    assert str(error.value).startswith(message.replace("@", f"{folder}/"))


def test_a_certificate_whose_key_is_not_given_is_warned_of(folder: Path) -> None:
    text = f'certificate "{folder}/proxy.crt" has none of the given keys, so no handshake can use it'
    assert build(folder, certificate="@proxy.crt", certificate_key="@rsa.key").warnings == (text,)
    assert build(folder, certificate="@proxy.crt", certificate_key="@proxy.key").warnings == ()


def test_a_password_opens_the_key(folder: Path) -> None:
    passwords = (b"wrong", b"secret")
    assert build(folder, certificate="@proxy.crt", certificate_key="@encrypted.key", passwords=passwords)


@pytest.mark.parametrize(
    ("address", "name", "refusal"),
    [
        (ADDRESS, None, None),
        (InetAddress("192.0.2.2", 993), None, 'upstream SSL certificate does not match "192.0.2.2"'),
        (InetAddress("192.0.2.2", 993), "imap.example.com", None),
        (ADDRESS, "example.com", 'upstream SSL certificate does not match "example.com"'),
        (UnixAddress("/run/imap"), "imap.example.com", None),
        (UnixAddress("/run/imap"), None, 'upstream SSL certificate does not match "unix:/run/imap"'),
    ],
)
def test_the_certificate_must_be_for_the_name_or_else_the_address(
    folder: Path, address: Address, name: str | None, refusal: str | None
) -> None:
    backend = build(folder, verify=True, trusted_certificate="@authority.crt", name=name)
    with shaken(folder, backend, address) as connection:
        assert backend.peer(address).refusal(connection) == refusal


@pytest.mark.parametrize("depth", [0, 1])
def test_authorities_between_the_certificate_and_a_trusted_one_are_counted(folder: Path, depth: int) -> None:
    trusting = {"verify": True, "trusted_certificate": "@authority.crt", "name": "imap.example.com"}
    backend = build(folder, **trusting, verify_depth=depth)
    with shaken(folder, backend, ADDRESS, "below/longer") as connection:
        assert (backend.peer(ADDRESS).refusal(connection) is None) is (depth > 0)


def test_sessions_are_kept_for_the_backends_used_last(folder: Path) -> None:
    backend = build(folder, protocols=("TLSv1.2",))
    addresses = [InetAddress(f"192.0.2.{number % 256}", number) for number in range(MOST_SESSIONS)]
    with shaken(folder, backend, ADDRESS) as connection:
        for address in [*addresses, addresses[0], ADDRESS]:
            backend.peer(address).remember(connection)
    assert {address for address, _ in backend.sessions} == {*addresses, ADDRESS} - {addresses[1]}


@pytest.mark.parametrize(
    "changes",
    [{"protocols": ("TLSv1.2",), "session_reuse": False}, {"protocols": ("TLSv1.3",)}],
    ids=["nobody wants it", "TLS 1.3 has not brought it yet"],
)
def test_no_session_is_kept(folder: Path, changes: dict[str, Any]) -> None:
    backend = build(folder, **changes)
    with shaken(folder, backend, ADDRESS) as connection:
        backend.peer(ADDRESS).remember(connection)
    assert not backend.sessions


def test_a_session_is_for_one_name_at_an_address(folder: Path) -> None:
    backend = build(folder, protocols=("TLSv1.2",))
    with shaken(folder, backend, ADDRESS) as connection:
        backend.peer(ADDRESS, "one.example.com").remember(connection)
    assert set(backend.sessions) == {(ADDRESS, "one.example.com")}
