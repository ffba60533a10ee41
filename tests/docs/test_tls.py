"""What docs/tls.md shows can be used, files and all, and it leaves no directive out."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from mailworker.config import proxy_ssl, ssl
from mailworker.process.cycle import Cycle
from mailworker.process.invocation import Invocation
from tests.docs.test_configurations import BLOCK, ROOT
from tests.process.tls.folders import put
from tests.support.certificates import CertificateAuthority, ecdsa_key, rsa_key
from tests.support.recorded_log import RecordedLog

COMMANDS = (*ssl.COMMANDS, *proxy_ssl.COMMANDS)
PAGE = (ROOT / "docs" / "tls.md").read_text(encoding="utf-8")
EXAMPLES = BLOCK.findall(PAGE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that an example names."""
    folder = tmp_path_factory.mktemp("tls")
    authority = CertificateAuthority(folder)
    key = rsa_key()
    rsa = authority.issue_server("mail.example.com.rsa", key, ("mail.example.com",))
    authority.issue_server("mail.example.com.ecdsa", ecdsa_key(), ("mail.example.com",))
    put(authority.issue_server("mail", ecdsa_key(), ("mail.example.com",)), folder / "certificates", "mail.pem")
    authority.issue_revocation_list("authority.crl", rsa)
    authority.issue_client("proxy", ecdsa_key(), "proxy")
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (folder / "encrypted.key").write_bytes(encrypted)
    (folder / "mail.pass").write_text("old\nsecret\n")
    (folder / "other.pass").write_text("secret\n")
    (folder / "current.key").write_bytes(os.urandom(80))
    (folder / "previous.key").write_bytes(os.urandom(48))
    command = ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"]
    subprocess.run([*command, "-out", str(folder / "dh.pem")], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_can_be_used(folder: Path, number: int) -> None:
    path = folder / "mailworker.conf"
    path.write_text(EXAMPLES[number].replace("/etc/mailworker", str(folder)))
    recorded = RecordedLog()
    cycle = Cycle.load(Invocation((), folder, path, None), recorded.log)
    assert all(server.ssl for server in cycle.settings.servers)
    assert recorded.lines == []


def test_every_directive_is_explained() -> None:
    named = set(re.findall(r"\b(?:proxy_ssl|ssl|starttls)[a-z_]*\b", PAGE))
    assert {command.name for command in COMMANDS} - named == set()


def test_every_directive_has_an_example() -> None:
    shown = set(re.findall(r"^ *([a-z_]+) ", "\n".join(EXAMPLES), re.MULTILINE))
    told = set(re.findall(r"`((?:proxy_ssl|ssl|starttls)[a-z_]*) (?:on|off|only)", PAGE))
    assert {command.name for command in COMMANDS} - shown - told == set()
