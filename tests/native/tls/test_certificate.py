from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mailworker.native.tls.certificate import load_certificates
from mailworker.native.tls.queue import OpenSslError
from tests.support.certificates import CertificateAuthority, ecdsa_key

SUBJECTS = {
    "plain": "/CN=joe",
    "ordered from the leaf": "/C=SE/O=Example, Inc./OU=Mail/CN=joe",
    "with characters that RFC 2253 escapes": '/O=a+b;c<d>e"f/CN= #joe ',
    "with letters beyond ASCII": "/CN=Jürgen Größe",
    "with two values in one part": "/CN=joe+emailAddress=joe@example.com",
}


def make(subject: str, folder: Path) -> Path:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8"]
    command += [
        "-multivalue-rdn",
        "-subj",
        subject,
        "-keyout",
        str(folder / "key"),
        "-out",
        str(folder / "certificate"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "certificate"


def openssl_says(path: Path, *options: str) -> str:
    """The value after "NAME=" that `openssl x509` prints."""
    command = ["openssl", "x509", "-in", str(path), "-noout", *options]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return printed.removesuffix("\n").partition("=")[2]


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
def test_facts_are_spelt_as_openssl_spells_them(subject: str, tmp_path: Path) -> None:
    path = make(subject, tmp_path)
    (certificate,) = load_certificates(str(path))
    name = openssl_says(path, "-subject", "-nameopt", "rfc2253")
    assert certificate.subject == certificate.issuer == name.encode()
    assert certificate.serial == openssl_says(path, "-serial").encode()
    fingerprint = openssl_says(path, "-fingerprint", "-sha1").replace(":", "").lower()
    assert certificate.fingerprint == fingerprint.encode()


def test_the_time_of_validity_is_spelt_as_openssl_spells_it(tmp_path: Path) -> None:
    path = make("/CN=joe", tmp_path)  # for 30 days
    (certificate,) = load_certificates(str(path))
    assert certificate.not_before == openssl_says(path, "-startdate").encode()
    assert certificate.not_after == openssl_says(path, "-enddate").encode()
    assert -86400 < certificate.seconds_before <= 0
    assert 29 * 86400 < certificate.seconds_left <= 30 * 86400


def test_encodings(tmp_path: Path) -> None:
    path = make("/CN=joe", tmp_path)
    (certificate,) = load_certificates(str(path))
    assert certificate.pem == path.read_bytes()
    assert certificate.der == x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("subject", "name"),
    [("/O=a/CN=Jürgen, Größe", "Jürgen, Größe"), ("/O=nobody", ""), ("/CN=first/CN=second", "first")],
)
def test_the_common_name_is_utf_8_and_may_be_absent(subject: str, name: str, tmp_path: Path) -> None:
    (certificate,) = load_certificates(str(make(subject, tmp_path)))
    assert certificate.common_name == name.encode()


def test_a_file_may_hold_several_certificates_and_other_text(tmp_path: Path) -> None:
    path = make("/CN=joe", tmp_path)
    one = path.read_text()
    for source in (f"data:{one}{one}", f"data:before\n{one}between\n{one}after\n"):
        assert [found.pem.decode() for found in load_certificates(source)] == [one, one]


def test_a_file_without_a_certificate(tmp_path: Path) -> None:
    make("/CN=joe", tmp_path)
    for source in ("data:", "data:junk", f"data:{(tmp_path / 'key').read_text()}", str(tmp_path)):
        with pytest.raises(OpenSslError):
            load_certificates(source)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("imap.example.com", True),
        ("IMAP.Example.COM", True),
        ("other.example.com", False),
        ("a.wild.example.com", True),
        ("a.b.wild.example.com", False),
        ("wild.example.com", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("2001:db8::1", True),
        ("2001:db8:0:0::1", True),
        ("", False),
    ],
)
def test_a_certificate_is_for_the_names_and_addresses_that_it_names(name: str, fits: bool, tmp_path: Path) -> None:
    names = ("imap.example.com", "*.wild.example.com", "192.0.2.1", "2001:db8::1")
    issued = CertificateAuthority(tmp_path).issue_server("server", ecdsa_key(), names)
    (certificate,) = load_certificates(str(issued.certificate))
    assert certificate.is_for(name) is fits
