"""The configuration of docs/managesieve.md serves as the page says, and so do other login sources."""

from __future__ import annotations

from pathlib import Path

from tests.docs.test_configurations import BLOCK, ROOT
from tests.mail.cases import SIEVE
from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer
from tests.support.certificates import self_signed
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.process import Mailworker
from tests.tls.peers import client_context


def test_the_configuration_serves_as_the_page_says(tmp_path: Path) -> None:
    (text,) = BLOCK.findall((ROOT / "docs" / "managesieve.md").read_text(encoding="utf-8"))
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o711)  # workers may be another user
    certificate = self_signed(tmp_path, "server", "/CN=mail.example.com")
    ports = Ports()
    backend = ScriptedServer(SIEVE.script())
    auth = AuthService(accepted(backend.address))
    for shown, meant in {
        "/etc/mailworker/mail.example.com.crt": str(certificate.certificate),
        "/etc/mailworker/mail.example.com.key": str(certificate.key),
        "127.0.0.1:9000": str(auth.address),
        "listen 4190": f"listen 127.0.0.1:{ports['sieve']}",
    }.items():
        assert shown in text
        text = text.replace(shown, meant)
    mailworker = Mailworker(tmp_path, f"error_log logs/error.log info;\n{text}")
    try:
        mailworker.start()
        mailworker.await_workers(1)
        client = Peer.connect(("127.0.0.1", ports["sieve"]))
        assert b'"SASL" ""\r\n"STARTTLS"\r\n' in client.until(b'OK "ManageSieve ready."\r\n')
        client.talk((SIEVE.login, b'NO (ENCRYPT-NEEDED) "STARTTLS is needed first."\r\n'))
        client.talk((b"STARTTLS\r\n", b'OK "Begin TLS negotiation now."\r\n'))
        client.start_tls(client_context())
        assert b'"SASL" "PLAIN"\r\n' in client.until(b'OK "ManageSieve ready."\r\n')
        client.talk((SIEVE.login, SIEVE.answer), (b"NOOP\r\n", b"NOOP\r\n"))
        client.close()
        assert auth.header(b"Auth-Protocol") == b"sieve"
    finally:
        mailworker.stop()
        auth.stop()
        backend.stop()
        ports.close()


def test_a_file_of_users_decides(tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o711)  # workers may be another user
    users = tmp_path / "users"
    users.write_text("user@example.com:{PLAIN}secret\n")
    users.chmod(0o600)
    ports = Ports()
    backend = ScriptedServer(SIEVE.script())
    mailworker = Mailworker(
        tmp_path,
        f"""
        error_log logs/error.log info;
        events {{ }}
        mail {{
            auth_user_file {users};
            server {{
                listen 127.0.0.1:{ports["sieve"]}; protocol sieve; proxy_pass {backend.address};
                sieve_capabilities "SIEVE fileinto";
            }}
        }}
        """,
    )
    try:
        mailworker.start()
        mailworker.await_workers(1)
        client = Peer.connect(("127.0.0.1", ports["sieve"]))
        client.until(b'OK "ManageSieve ready."\r\n')
        client.talk((b'AUTHENTICATE "PLAIN" "AHUAeA=="\r\n', b'NO "Authentication failed."\r\n'))
        client.talk((SIEVE.login, SIEVE.answer), (b"NOOP\r\n", b"NOOP\r\n"))
        client.close()
        assert backend.peer().received == SIEVE.commands + b"NOOP\r\n"
    finally:
        mailworker.stop()
        backend.stop()
        ports.close()
