"""Certificates and keys for the real binary."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, rsa_key

NAMES = ("localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def ecdsa(authority: CertificateAuthority) -> Certificate:
    return authority.issue_server("ecdsa", ecdsa_key(), NAMES)


@pytest.fixture(scope="session")
def rsa(authority: CertificateAuthority) -> Certificate:
    return authority.issue_server("rsa", rsa_key(), NAMES)


@pytest.fixture(scope="session")
def client_certificate(authority: CertificateAuthority) -> Certificate:
    return authority.issue_client("client", ecdsa_key(), "A client")


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """A file for the session of `openssl s_client`."""
    return tmp_path / "session.pem"
