"""Certificates for TLS tests: an authority, server certificates and client certificates."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ecdsa_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = timedelta(days=2)
RSA_BITS = 2048

# RFC 5280, section 4.2.1, demands this and key identifiers; clients of Python 3.13 check them.
_OF_AN_AUTHORITY = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Certificate:
    """The PEM files of a certificate and its key."""

    certificate: Path
    key: Path


def rsa_key() -> RSAPrivateKey:
    return generate_rsa_key(65537, RSA_BITS)


def ecdsa_key() -> EllipticCurvePrivateKey:
    return generate_ecdsa_key(SECP256R1())


class CertificateAuthority:
    """Issues certificates into PEM files of `folder`; `path` is its own certificate, `above` the authority above it."""

    def __init__(
        self, folder: Path, name: str = "Test authority", *, above: CertificateAuthority | None = None
    ) -> None:
        self._folder = folder
        self._key = ecdsa_key()
        self._name = _distinguished_name(name)
        issuer = above or self
        builder = _builder(self._name, issuer._name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=int(above is None)), critical=True)
        certificate = builder.add_extension(_OF_AN_AUTHORITY, critical=True).sign(issuer._key, SHA256())
        self.path = folder / "authority.crt"
        self.path.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue_server(
        self, file_name: str, key: PrivateKey, names: tuple[str, ...], *, validity: timedelta = VALIDITY
    ) -> Certificate:
        """A server's certificate; `names` are host names and numeric addresses, the first is its common name."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = _builder(_distinguished_name(names[0]), self._name, key, validity)
        builder = builder.add_extension(usage, critical=False).add_extension(alternatives, critical=False)
        return self._write(file_name, key, builder)

    def issue_client(
        self, file_name: str, key: PrivateKey, name: str, *, validity: timedelta = VALIDITY
    ) -> Certificate:
        """A client's certificate with `name` as its common name; with a negative `validity` it has expired."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = _builder(_distinguished_name(name), self._name, key, validity)
        return self._write(file_name, key, builder.add_extension(usage, critical=False))

    def issue_revocation_list(self, file_name: str, *revoked: Certificate) -> Path:
        """A revocation list with these certificates of this authority."""
        now = datetime.now(timezone.utc)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - VALIDITY).next_update(now + VALIDITY)
        for certificate in revoked:
            serial = x509.load_pem_x509_certificate(certificate.certificate.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - VALIDITY)
            builder = builder.add_revoked_certificate(entry.build())
        path = self._folder / file_name
        path.write_bytes(builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        return path

    def _write(self, file_name: str, key: PrivateKey, builder: x509.CertificateBuilder) -> Certificate:
        issued = Certificate(self._folder / f"{file_name}.crt", self._folder / f"{file_name}.key")
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        issued.certificate.write_bytes(builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        issued.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        issued.key.chmod(0o600)
        return issued


def self_signed(folder: Path, file_name: str, subject: str, *options: str) -> Certificate:
    """A self-signed certificate; `subject` is written as for `openssl req -subj`, which gets the `options` too."""
    issued = Certificate(folder / f"{file_name}.crt", folder / f"{file_name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8"]
    command += ["-subj", subject, "-keyout", str(issued.key), "-out", str(issued.certificate), *options]
    subprocess.run(command, check=True, capture_output=True)
    return issued


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, validity: timedelta = VALIDITY
) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALIDITY)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _distinguished_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
