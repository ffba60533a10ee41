"""What `-t` warns of beside certificates: open secrets, and logins in clear where a certificate is wanted."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from mailworker.config.load import load
from mailworker.config.settings import Settings
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.process.checks import (
    check_backend_ports,
    check_clear_logins,
    check_loops,
    check_pairs,
    check_secrets,
    check_settings,
)
from mailworker.tls.folder_scan import FolderScan
from tests.process.conftest import Install
from tests.process.tls.folders import put
from tests.support.certificates import CertificateAuthority, ecdsa_key, self_signed
from tests.support.process import configuration

# How each file of a secret is named in a server block, and what messages call it.
SECRETS = {
    "ssl_certificate_key": ("starttls on; ssl_certificate x; ssl_certificate_key %s;", "certificate key"),
    "a store": ("starttls on; ssl_certificate x; ssl_certificate_key store:file:%s;", "certificate key"),
    "ssl_conf_command": (
        "starttls on; ssl_certificate x; ssl_certificate_key data:y; ssl_conf_command PrivateKey %s;",
        "certificate key",
    ),
    "proxy_ssl_certificate_key": (
        "proxy_ssl on; proxy_ssl_certificate x; proxy_ssl_certificate_key %s;",
        "certificate key",
    ),
    "ssl_password_file": ("ssl_password_file %s;", "password file"),
    "proxy_ssl_password_file": ("proxy_ssl_password_file %s;", "password file"),
    "ssl_session_ticket_key": (
        "starttls on; ssl_certificate x; ssl_certificate_key data:y; ssl_session_ticket_key %s;",
        "session ticket key",
    ),
}
SERVER = "events {} mail { auth_http 127.0.0.1; server { listen 127.0.0.1:1; protocol imap; %s } }"


def _loaded(folder: Path, text: str) -> Settings:
    path = folder / "c.conf"
    path.write_text(text)
    return load(path, protocols=PROTOCOLS, prefix=folder)


@pytest.mark.parametrize(("directives", "kind"), SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize(
    ("mode", "told"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o622, True)]
)
def test_a_secret_that_others_may_read_or_write_is_told(
    tmp_path: Path, directives: str, kind: str, mode: int, told: bool
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"k" * 48)
    secret.chmod(mode)
    settings = _loaded(tmp_path, SERVER % (directives % secret))
    expected = [f'{kind} "{secret}" is open to others than its owner (mode {mode:04o})']
    assert list(check_secrets(settings.secrets)) == (expected if told else [])


@pytest.mark.parametrize("key", ["data:y", "engine:x:y", "store:pkcs11:object=x"])
def test_a_key_that_is_no_file_is_no_secret_file(tmp_path: Path, key: str) -> None:
    settings = _loaded(tmp_path, SERVER % f"starttls on; ssl_certificate x; ssl_certificate_key {key};")
    assert settings.secrets == ()


def test_a_secret_that_is_gone_is_told_of_once(tmp_path: Path) -> None:
    directives = "starttls on; ssl_certificate x; ssl_certificate_key gone;"
    settings = _loaded(tmp_path, SERVER % (directives + " } server { listen 127.0.0.1:2; protocol imap; " + directives))
    told = list(check_secrets(settings.secrets))
    assert told == [f'certificate key "{tmp_path}/gone" could not be checked: No such file or directory']


CERTIFICATE = "ssl_certificate x; ssl_certificate_key y; ssl_verify_client %s; ssl_client_certificate z;"


@pytest.mark.parametrize(
    ("directives", "clear"),
    [
        ("listen 127.0.0.1:1; starttls on; " + CERTIFICATE % "on", "127.0.0.1:1"),
        ("listen 127.0.0.1:1; listen 127.0.0.1:2 ssl; " + CERTIFICATE % "on", "127.0.0.1:1"),
        ("listen 127.0.0.1:1; listen [::1]:1; starttls on; " + CERTIFICATE % "on", "127.0.0.1:1, [::1]:1"),
        ("listen 127.0.0.1:1; starttls only; " + CERTIFICATE % "on", None),
        ("listen 127.0.0.1:1 ssl; starttls on; " + CERTIFICATE % "on", None),
        ("listen 127.0.0.1:1; starttls on; " + CERTIFICATE % "optional", None),
        ("listen 127.0.0.1:1; starttls on; " + CERTIFICATE % "off", None),
        ("listen 127.0.0.1:1; " + CERTIFICATE % "on", None),
    ],
)
def test_logins_in_clear_beside_a_demand_for_certificates_are_told(
    tmp_path: Path, directives: str, clear: str | None
) -> None:
    settings = _loaded(
        tmp_path, f"events {{}} mail {{ auth_http 127.0.0.1;\nserver {{ protocol imap; {directives} }} }}"
    )
    told = list(check_clear_logins(settings.servers))
    expected = [
        f'"ssl_verify_client" is on, but clients of {clear} may log in without TLS, without a certificate: '
        f'"starttls only" requires both in {tmp_path}/c.conf:2'
    ]
    assert told == ([] if clear is None else expected)


@pytest.mark.parametrize(
    ("listen", "backend", "told"),
    [
        ("127.0.0.1:143", "127.0.0.1:143", "127.0.0.1:143"),
        ("127.0.0.1:143", "127.0.0.1:1143", None),
        ("127.0.0.1:143", "127.0.0.2:143", None),
        ("143", "127.0.0.1:143", "127.0.0.1:143"),
        ("143", "127.0.0.2:143", "127.0.0.2:143"),
        ("143", "192.0.2.1:143", None),
        ("143", "[::1]:143", None),
        ("[::]:143", "[::1]:143", "[::1]:143"),
        ("[::]:143", "127.0.0.1:143", None),
        ("[::]:143 ipv6only=off", "127.0.0.1:143", "127.0.0.1:143"),
        ("192.0.2.1:143", "[::ffff:192.0.2.1]:143", "[::ffff:192.0.2.1]:143"),
        ("unix:/run/mail", "unix:/run/mail", "unix:/run/mail"),
        ("unix:/run/mail", "127.0.0.1:143", None),
    ],
)
def test_a_backend_that_is_the_server_itself_is_told(
    tmp_path: Path, listen: str, backend: str, told: str | None
) -> None:
    settings = _loaded(
        tmp_path,
        f"events {{}} mail {{ auth_upstream on; server {{ listen {listen}; protocol imap; proxy_pass {backend}; }} }}",
    )
    assert list(check_loops(settings.servers)) == (
        []
        if told is None
        else [
            f'"proxy_pass" leads to {told}, an address of this server itself: one login would take all '
            f"connections in {tmp_path}/c.conf:1"
        ]
    )
    assert set(check_loops(settings.servers)) <= set(check_settings(settings))


@pytest.mark.parametrize(
    ("port", "proxy_ssl", "needed"),
    [
        (993, "off", "on"),
        (993, "starttls", "on"),
        (993, "on", None),
        (465, "off", "on"),
        (995, "off", "on"),
        (143, "on", "starttls"),
        (143, "off", None),
        (143, "starttls", None),
        (25, "on", "starttls"),
        (110, "on", "starttls"),
        (587, "on", "starttls"),
        (4190, "on", "starttls"),
        (1993, "off", None),
        (1143, "on", None),
    ],
)
def test_a_port_of_a_backend_that_needs_another_way_to_tls_is_told(
    tmp_path: Path, port: int, proxy_ssl: str, needed: str | None
) -> None:
    settings = _loaded(
        tmp_path,
        f"events {{}} mail {{ auth_upstream on; proxy_ssl {proxy_ssl};\n"
        f"server {{ listen 1; protocol imap; proxy_pass 192.0.2.1:{port}; }} }}",
    )
    assert list(check_backend_ports(settings.servers)) == (
        []
        if needed is None
        else [f'port {port} in "proxy_pass" usually needs "proxy_ssl {needed}" in {tmp_path}/c.conf:2']
    )
    assert set(check_backend_ports(settings.servers)) <= set(check_settings(settings))


def test_a_test_of_the_configuration_gives_all_warnings_and_passes(install: Install, port: int, folder: Path) -> None:
    made = self_signed(folder, "mail", "/CN=mail.example")
    for name, content in {"ticket": b"t" * 80, "pass": b"word\n"}.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o644)
    server = (
        f"starttls on; ssl_certificate {made.certificate}; ssl_certificate_key {made.key}; "
        f"ssl_password_file {folder}/pass; ssl_session_ticket_key {folder}/ticket; "
        f"ssl_verify_client on; ssl_client_certificate {made.certificate};"
    )
    tested = install(configuration(port, main="worker_rlimit_nofile 100;", server=server)).run("-tq")
    told = tested.stderr.decode()
    assert tested.returncode == 0
    assert "[warn]" in told
    assert "worker_connections exceed open file resource limit: 100\n" in told
    assert f'[warn] password file "{folder}/pass" is open to others than its owner (mode 0644)' in told
    assert f'[warn] session ticket key "{folder}/ticket" is open to others than its owner (mode 0644)' in told
    assert '[warn] "ssl_verify_client" is on, but clients of 127.0.0.1:' in told


def test_certificates_of_a_folder_with_the_chain_of_another_issuer_are_told(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = CertificateAuthority(tmp_path / "one", "One"), CertificateAuthority(tmp_path / "two", "Two")
    for name, chain in (("right", [two, one]), ("wrong", [two]), ("none", [])):
        pair = one.issue_server(name, ecdsa_key(), (f"{name}.example",))
        with pair.certificate.open("ab") as file:
            file.writelines(each.path.read_bytes() for each in chain)
        put(pair, tmp_path / "certs", f"{name}.crt", f"{name}.key")
    scan = FolderScan(str(tmp_path / "certs"))
    assert [text for text in scan.load(None) if text] == []
    wrong = f'certificate "{tmp_path}/certs/wrong.crt" is followed by others, of which none is its issuer "CN=One"'
    assert [*check_pairs(scan.folder, time.time())] == [wrong]


def test_certificates_of_a_folder_that_end_soon_or_have_open_keys_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those in place of which others are used, and not the short-lived ones that have enough of their time left."""
    (tmp_path / "maker").mkdir()
    maker, folder = CertificateAuthority(tmp_path / "maker"), tmp_path / "certs"
    for name, days, before in (("expired", -1, 80), ("soon", 1, 80), ("good", 30, 80), ("old", 1, 9), ("short", 2, 2)):
        monkeypatch.setattr("tests.support.certificates.VALIDITY", timedelta(days=before))
        host = f"{'good' if name == 'old' else name}.example"
        pair = maker.issue_client(name, ecdsa_key(), host, validity=timedelta(days=days, hours=1))
        put(pair, folder, f"{name}.crt", f"{name}.key")
    put(
        maker.issue_client("new", ecdsa_key(), "good.example", validity=timedelta(days=9)), folder, "new.crt", "new.key"
    )
    (folder / "good.key").chmod(0o644)
    scan = FolderScan(str(folder))
    assert len([text for text in scan.load(None) if text]) == 2
    told = [text.replace(f"{folder}/", "") for text in check_pairs(scan.folder, time.time())]
    assert len(told) == 3
    assert told[0].startswith('certificate "expired.crt" has expired on ')
    assert told[1] == 'certificate key "good.key" is open to others than its owner (mode 0644)'
    assert told[2].startswith('certificate "soon.crt" expires on ')
    assert told[2].endswith(" UTC, in 1 day")
    early = [text for text in check_pairs(scan.folder, time.time() - 86400 * 5) if "is not valid before" in text]
    begins = {pair.path: time.gmtime(pair.begins) for pair in scan.folder if "short" in pair.path or "new" in pair.path}
    assert sorted(early) == [
        f'certificate "{path}" is not valid before {time.strftime("%Y-%m-%d %H:%M", moment)} UTC'
        for path, moment in sorted(begins.items())
    ]
    assert len(early) == 2
