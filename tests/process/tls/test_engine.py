"""A key that never leaves its token: SoftHSM behind OpenSSL's pkcs11 engine, used by forked workers."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.process.conftest import Install
from tests.process.tls.clients import client_context, connected
from tests.process.tls.servers import configuration, reload, tls_server
from tests.support.certificates import Certificate
from tests.support.daemon import ServerUnavailable, find_program

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/lib64/libsofthsm2.so")
PIN = "1234"
KEY = f"pkcs11:token=mail;object=mail-key;type=private;pin-value={PIN}"


@pytest.fixture
def token(folder: Path, ecdsa: Certificate, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A token that holds the key of `ecdsa`; processes find it by their environment."""
    try:
        program = find_program("softhsm2-util")
    except ServerUnavailable as error:
        pytest.skip(str(error))
    module = next((module for module in MODULES if Path(module).exists()), None)
    if module is None:
        pytest.skip("SoftHSM's module is not installed")
    tokens = folder / "tokens"
    tokens.mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    monkeypatch.setenv("PKCS11_MODULE_PATH", module)
    key = load_pem_private_key(ecdsa.key.read_bytes(), None)
    pkcs8 = folder / "pkcs8.key"
    pkcs8.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for arguments in (
        ("--init-token", "--free", "--label", "mail", "--pin", PIN, "--so-pin", PIN),
        ("--import", str(pkcs8), "--token", "mail", "--label", "mail-key", "--id", "01", "--pin", PIN),
    ):
        subprocess.run([program, *arguments], check=True, capture_output=True)
    for path in (tokens, *tokens.rglob("*")):  # workers of another user read it too
        path.chmod(0o777 if path.is_dir() else 0o666)
    return tokens


@pytest.mark.usefixtures("token")
def test_workers_sign_with_the_key_of_an_engine(install: Install, port: int, ecdsa: Certificate) -> None:
    pair = f'ssl_certificate {ecdsa.certificate}; ssl_certificate_key "engine:pkcs11:{KEY}";'
    environment = "env SOFTHSM2_CONF; env PKCS11_MODULE_PATH;"
    mailworker = install(environment + configuration(tls_server(port, pair), workers=2))
    tested = mailworker.run("-t")
    if b"ENGINE_by_id" in tested.stderr or b"is not supported" in tested.stderr:
        pytest.skip("OpenSSL has no pkcs11 engine")
    assert tested.returncode == 0, tested.stderr
    mailworker.pid_file.unlink()
    mailworker.start()
    mailworker.await_workers(2)
    for _ in range(2):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with connected(port, client_context(version)) as client:
                sent = client.getpeercert(binary_form=True)
                assert sent == ssl.PEM_cert_to_DER_cert(ecdsa.certificate.read_text())
        reload(mailworker, 2)


@pytest.mark.usefixtures("token")
def test_a_key_that_the_engine_does_not_have(install: Install, port: int, ecdsa: Certificate) -> None:
    key = KEY.replace("mail-key", "other-key")
    pair = f'ssl_certificate {ecdsa.certificate}; ssl_certificate_key "engine:pkcs11:{key}";'
    tested = install(configuration(tls_server(port, pair))).run("-t")
    if b"ENGINE_by_id" in tested.stderr or b"is not supported" in tested.stderr:
        pytest.skip("OpenSSL has no pkcs11 engine")
    assert tested.returncode == 1
    assert b'cannot load certificate key "engine:pkcs11": ENGINE_load_private_key() failed' in tested.stderr
    # The engine tells more on stderr than we do.
    ours = [line for line in tested.stderr.splitlines() if line.startswith(b"mailworker: ")]
    assert ours
    assert not any(PIN.encode() in line for line in ours)
