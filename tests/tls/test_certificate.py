from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mailworker.config.settings import MailServer
from mailworker.tls.certificate import check_servers
from tests.support.certificates import Certificate
from tests.support.settings import mail_server, proxy_settings, proxy_ssl_settings, ssl_settings

NOW = datetime(2030, 6, 1, 12, tzinfo=timezone.utc)
LONG = timedelta(days=365)
Key = rsa.RSAPrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def curve() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Issuer:
    """Signs certificates; `certificate` is its own, None for one that nobody knows."""

    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate | None = None

    def sign(
        self,
        subject: str,
        key: Key,
        names: tuple[str, ...] = ("mail.example.com",),
        *,
        begins: datetime = NOW - LONG,
        ends: datetime = NOW + LONG,
        authority: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self.key, SHA256())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@pytest.fixture(scope="module")
def root() -> Issuer:
    key = curve()
    return Issuer("Root", key, Issuer("Root", key).sign("Root", key, (), authority=True))


Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """The warnings about a file with these certificates, without the file's name."""

    def run(*chain: x509.Certificate, backends: bool = False) -> list[str]:
        files = Certificate(tmp_path / "a.crt", tmp_path / "a.key")
        files.certificate.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain))
        use = for_backends if backends else for_clients
        warnings = check_servers([use(files), use(files)], NOW)
        return [warning.replace(str(tmp_path), "") for warning in warnings]

    return run


def for_clients(files: Certificate) -> MailServer:
    return mail_server("imap", ssl=ssl_settings(files))


def for_backends(files: Certificate) -> MailServer:
    tls = proxy_ssl_settings(certificate=str(files.certificate), certificate_key=str(files.key))
    return mail_server("imap", proxy=proxy_settings(ssl=tls))


def test_a_good_chain_gives_no_warning(check: Check, root: Issuer) -> None:
    assert root.certificate is not None
    assert check(root.sign("a", curve()), root.certificate) == []


def test_a_certificate_that_vouches_for_itself_is_complete(check: Check) -> None:
    key = curve()
    assert check(Issuer("a", key).sign("a", key)) == []


@pytest.mark.parametrize(
    ("begins", "ends", "warning"),
    [
        (NOW + timedelta(hours=1), NOW + LONG, "is not valid before 2030-06-01 13:00 UTC"),
        (NOW - LONG, NOW - timedelta(hours=1), "has expired on 2030-06-01 11:00 UTC"),
        (NOW - LONG, NOW + timedelta(days=29), "expires on 2030-06-30 12:00 UTC, in 29 days"),
        (NOW - LONG, NOW + timedelta(days=31), None),
    ],
)
def test_dates(check: Check, root: Issuer, begins: datetime, ends: datetime, warning: str | None) -> None:
    assert root.certificate is not None
    leaf = root.sign("a", curve(), begins=begins, ends=ends)
    assert check(leaf, root.certificate) == ([] if warning is None else [f'certificate "/a.crt" {warning}'])


@pytest.mark.parametrize(
    ("key", "bits"),
    [
        (rsa.generate_private_key(65537, 1024), 1024),
        (rsa.generate_private_key(65537, 2048), None),
        (dsa.generate_private_key(1024), 1024),
        (ec.generate_private_key(ec.SECP192R1()), 192),
        (ed25519.Ed25519PrivateKey.generate(), None),
    ],
)
def test_weak_keys(check: Check, root: Issuer, key: Key, bits: int | None) -> None:
    assert root.certificate is not None
    expected = [] if bits is None else [f'certificate "/a.crt" has a weak key of {bits} bits']
    assert check(root.sign("a", key), root.certificate) == expected


def test_a_missing_intermediate_is_named(check: Check, root: Issuer) -> None:
    key = curve()
    intermediate = root.sign("Middle", key, (), authority=True)
    leaf = Issuer("Middle", key).sign("a", curve())
    missing = 'certificate "/a.crt" has no complete chain: its issuer "CN={}" is neither in the file nor a known root'
    assert check(leaf) == [missing.format("Middle")]
    assert check(leaf, intermediate) == [missing.format("Root")]
    assert root.certificate is not None
    assert check(leaf, intermediate, root.certificate) == []


@pytest.mark.parametrize(
    ("names", "warning"),
    [
        ((), "has no subject alternative name"),
        (("other.example.com",), 'does not name the server "mail.example.com"'),
        (("other.example.com", "MAIL.example.com"), None),
        (("*.example.com",), None),
        (("*.com",), 'does not name the server "mail.example.com"'),
    ],
)
def test_names(check: Check, root: Issuer, names: tuple[str, ...], warning: str | None) -> None:
    assert root.certificate is not None
    expected = [] if warning is None else [f'certificate "/a.crt" {warning}']
    assert check(root.sign("a", curve(), names), root.certificate) == expected


def test_a_server_that_is_called_as_its_host_may_need_a_name(tmp_path: Path, root: Issuer) -> None:
    path = tmp_path / "a.crt"
    path.write_bytes(root.sign("a", curve(), ("mail.example.com",)).public_bytes(Encoding.PEM))
    ssl = ssl_settings(Certificate(path, tmp_path / "a.key"))
    host = socket.gethostname().lower()
    warnings = check_servers([mail_server("imap", ssl=ssl, server_name=host.encode())], NOW)
    hint = ', the name of this host: set the one that clients use by "server_name"'
    assert f'certificate "{path}" does not name the server "{host}"{hint}' in warnings


def test_a_name_that_is_not_ascii_is_told_as_it_was_written(tmp_path: Path, root: Issuer) -> None:
    path = tmp_path / "a.crt"
    path.write_bytes(root.sign("a", curve(), ("a.example.com",)).public_bytes(Encoding.PEM))
    ssl = ssl_settings(Certificate(path, tmp_path / "a.key"))
    warnings = check_servers([mail_server("imap", ssl=ssl, server_name="“mail.example.com”".encode())], NOW)
    assert f'certificate "{path}" does not name the server "“mail.example.com”"' in warnings


def test_a_certificate_for_backends_is_judged_by_its_dates_and_its_key(check: Check, root: Issuer) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    old = root.sign("a", weak, (), ends=NOW - timedelta(hours=1))
    assert check(root.sign("a", curve(), ()), backends=True) == []
    assert check(old, backends=True) == [
        'certificate "/a.crt" has expired on 2030-06-01 11:00 UTC',
        'certificate "/a.crt" has a weak key of 1024 bits',
    ]


def test_no_certificate_for_backends_gives_no_warning() -> None:
    assert check_servers([mail_server("imap", proxy=proxy_settings(ssl=proxy_ssl_settings()))]) == []


def test_roots_of_this_system_are_known(
    check: Check, root: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert root.certificate is not None
    (tmp_path / "roots.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    assert check(root.sign("a", curve())) == []


def test_a_certificate_in_the_configuration_is_examined(root: Issuer, tmp_path: Path) -> None:
    pem = root.sign("a", curve(), ends=NOW - timedelta(hours=1)).public_bytes(Encoding.PEM).decode()
    ssl = ssl_settings(Certificate(tmp_path, tmp_path), certificates=(f"data:{pem}",))
    warnings = [*check_servers([mail_server("imap", ssl=ssl)], NOW)]
    assert warnings[0] == 'certificate "data:" has expired on 2030-06-01 11:00 UTC'


def test_a_file_without_a_certificate_is_named(check: Check) -> None:
    assert check() == ['certificate "/a.crt" could not be checked: it contains no certificate']


@pytest.mark.parametrize("use", [for_clients, for_backends])
def test_what_cannot_be_read_is_no_reason_to_fail(tmp_path: Path, use: Callable[[Certificate], MailServer]) -> None:
    missing = Certificate(tmp_path / "no.crt", tmp_path / "no.key")
    (warning,) = check_servers([use(missing)])
    assert warning.startswith(f'certificate "{missing.certificate}" could not be checked: ')


def test_a_file_that_many_servers_use_is_examined_once(
    tmp_path: Path, root: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    files = [Certificate(tmp_path / f"{name}.crt", tmp_path / "a.key") for name in "ab"]
    for file in files:
        leaf = root.sign("a", curve(), ("a.example.com",))
        file.certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
    names = [b"a.example.com", b"b.example.com"] * 500
    servers = [mail_server("imap", ssl=ssl_settings(file), server_name=name) for name in names for file in files]
    warnings = check_servers(servers, NOW)
    assert read == [file.certificate for file in files]
    assert [warning for warning in warnings if "does not name" in warning] == [
        f'certificate "{file.certificate}" does not name the server "b.example.com"' for file in files
    ]


def test_servers_without_tls_have_nothing_to_check() -> None:
    assert check_servers([mail_server("imap")]) == []
