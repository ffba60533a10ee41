"""Row 21: whatever a client's certificate says, the auth service gets one header line of each fact."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from tests.security.speech import Speech
from tests.security.stage import Stage, of_each
from tests.support.certificates import Certificate, ecdsa_key
from tests.tls.peers import client_context

DAY = timedelta(days=1)
# OpenSSL takes 100 KiB of certificates, and escaping makes three bytes of one.
LONGEST = 3 * 100 * 1024

# Common names, each in every kind of string that has these characters. OpenSSL reads none that is no UTF-8.
NAMES = {
    "a header": "a\r\nAuth-User: root\r\nAuth-Status: OK",
    "the end of the request": "a\r\n\r\n",
    "a bare LF": "a\nAuth-User: root",
    "NUL": "root\0.example.com",
    "control bytes": "".join(map(chr, range(1, 32))) + "\x7f\x9b31m",
    "quotes": "\"a\\,+=<>#;' ",
    "every script": "Jürgen Größe 日本 \u202e\u2028",
}
TYPES = (_ASN1Type.UTF8String, _ASN1Type.BMPString)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@of_each
def test_a_certificate_is_one_line_each(stage: Stage, speech: Speech, tmp_path: Path, name: str) -> None:
    for kind in TYPES:
        _log_in(stage, speech, _certificate(tmp_path, [x509.NameAttribute(NameOID.COMMON_NAME, name, kind)]))
        subject = _headers(stage)["Auth-SSL-Subject"]
        assert subject.isascii()
        assert subject.isprintable()


@of_each
def test_a_name_of_64_kilobytes_is_one_line(stage: Stage, speech: Speech, tmp_path: Path) -> None:
    names = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "\r\n" * 32) for _ in range(850)]
    _log_in(stage, speech, _certificate(tmp_path, names))
    subject = _headers(stage)["Auth-SSL-Subject"]
    assert 64 * 1024 < len(subject) < LONGEST
    assert subject.isprintable()


@of_each
def test_more_certificate_than_openssl_takes_is_no_handshake(stage: Stage, speech: Speech, tmp_path: Path) -> None:
    asked = len(stage.auth.requests)
    names = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 64) for _ in range(3000)]
    client = stage.unencrypted(speech, "certified")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.start_tls(client_context(certificate=_certificate(tmp_path, names)))
        client.send(speech.login)
        assert client.skip(1) == b""
        raise ConnectionError  # it was closed
    assert len(stage.auth.requests) == asked


def _log_in(stage: Stage, speech: Speech, certificate: Certificate) -> None:
    client = stage.unencrypted(speech, "certified")
    client.start_tls(client_context(certificate=certificate))
    client.expect(speech.greeting)
    client.talk((speech.login, speech.welcome))


def _headers(stage: Stage) -> dict[str, str]:
    """What the auth service was told last, each fact in a line of its own."""
    request, _, body = stage.auth.requests[-1].decode("ascii").partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in request.split("\r\n")[1:])
    assert headers["Auth-User"] == "user@example.com"
    assert "Auth-Status" not in headers
    assert unquote_to_bytes(headers["Auth-SSL-Cert"]).startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert len(headers) == request.count("\n") == request.count("\r")
    assert body == ""
    return headers


def _certificate(folder: Path, subject: list[x509.NameAttribute[Any]]) -> Certificate:
    """A certificate that nobody vouches for."""
    key = ecdsa_key()
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(issuer, x509.Name(subject), key.public_key(), 1, now - DAY, now + DAY)
    issued = Certificate(folder / "client.crt", folder / "client.key")
    issued.certificate.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    issued.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return issued
