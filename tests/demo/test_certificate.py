import ssl
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509

from mailworker.demo import certificate as module
from mailworker.demo.certificate import ensure_certificate


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return tmp_path / "a.crt"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "a.key"


def test_the_pair_fits_and_names_localhost(certificate: Path, key: Path) -> None:
    ensure_certificate(certificate, key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert loaded.not_valid_before_utc < datetime.now(timezone.utc) - timedelta(minutes=59)


def test_only_the_owner_may_read_the_key(certificate: Path, key: Path) -> None:
    ensure_certificate(certificate, key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_good_pair_is_kept(certificate: Path, key: Path) -> None:
    ensure_certificate(certificate, key)
    before = certificate.read_bytes()
    ensure_certificate(certificate, key)
    assert certificate.read_bytes() == before


def test_a_broken_certificate_is_replaced(certificate: Path, key: Path) -> None:
    certificate.write_text("nothing")
    key.write_text("nothing")
    ensure_certificate(certificate, key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)


def test_a_pair_without_its_key_is_replaced(certificate: Path, key: Path) -> None:
    ensure_certificate(certificate, key)
    key.unlink()
    ensure_certificate(certificate, key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)


def test_a_certificate_at_its_end_is_replaced(certificate: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module, "_VALIDITY", timedelta(hours=12))
        ensure_certificate(certificate, key)
    ensure_certificate(certificate, key)
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert loaded.not_valid_after_utc > datetime.now(timezone.utc) + timedelta(days=300)
