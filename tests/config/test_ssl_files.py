from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.ssl_files import shown
from mailworker.errors import ConfigError
from tests.config.conftest import Load, LoadServer

TLS = "starttls on; ssl_certificate a; ssl_certificate_key a;"


@pytest.mark.parametrize(
    ("name", "told"),
    [("/cert.pem", "/cert.pem"), ("data:-----BEGIN PRIVATE KEY", "data:"), ("engine:a:b", "engine:a:b")],
)
def test_what_may_hold_a_key_is_not_told(name: str, told: str) -> None:
    assert shown(name) == told


@pytest.mark.parametrize(
    ("directive", "content", "message"),
    [
        ("ssl_password_file", b"a" * 4096, 'too long line in "{file}"'),
        ("ssl_session_ticket_key", b"k" * 47, '"{file}" must be 48 or 80 bytes'),
        ("ssl_session_ticket_key", b"", '"{file}" must be 48 or 80 bytes'),
    ],
)
def test_a_file_of_another_form_is_refused(
    load_server: LoadServer, tmp_path: Path, directive: str, content: bytes, message: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_server(f"{TLS} {directive} secret;")
    assert caught.value.message == message.format(file=file)


def test_every_secret_is_declared_wherever_it_is(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "ticket").write_bytes(b"k" * 80)
    (tmp_path / "pass").write_bytes(b"")
    settings = load_text(
        """
        events {} mail { auth_http 127.0.0.1; ssl_certificate data:x; ssl_certificate_key own.key;
            ssl_certificate data:y; ssl_certificate_key store:file:/stored.key;
            ssl_certificate data:z; ssl_certificate_key engine:a:b; ssl_conf_command PrivateKey other.key;
            ssl_session_ticket_key ticket; ssl_password_file pass; server { listen 993 ssl; } }
        """
    )
    assert {(secret.kind, secret.path) for secret in settings.secrets} == {
        ("certificate key", f"{tmp_path}/own.key"),
        ("certificate key", "/stored.key"),
        ("certificate key", f"{tmp_path}/other.key"),
        ("session ticket key", f"{tmp_path}/ticket"),
        ("password file", f"{tmp_path}/pass"),
    }
