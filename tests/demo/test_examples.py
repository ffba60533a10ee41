from pathlib import Path

import pytest

from mailworker.config.load import load
from mailworker.demo.examples import examples
from mailworker.mail.protocols.table import PROTOCOLS

CONFIGURATION = """
events {{
}}
mail {{
    auth_http 127.0.0.1:9000;
    ssl_certificate a.crt;
    ssl_certificate_key a.key;
    server {{
        {server}
    }}
}}
"""

SEND = r"printf 'Subject: Hello\r\n\r\nIt works.\r\n' | curl -sSk"
ENVELOPE = "--mail-from me@example.com --mail-rcpt demo@example.com -T - && echo sent"


@pytest.mark.parametrize(
    ("server", "lines"),
    [
        ("listen 127.0.0.1:993 ssl;", ["curl -k -u demo:demo 'imaps://127.0.0.1:993/INBOX;MAILINDEX=1'"]),
        ("listen [::1]:995 ssl;", ["curl -k -u demo:demo pop3s://[::1]:995/1"]),
        ("listen 127.0.0.1:465 ssl;", [f"{SEND} -u demo:demo smtps://127.0.0.1:465 {ENVELOPE}"]),
        (
            "listen 127.0.0.1:587; starttls only;",
            [
                f"{SEND} --ssl-reqd -u demo:demo smtp://127.0.0.1:587 {ENVELOPE}",
                "openssl s_client -quiet -crlf -starttls smtp -connect 127.0.0.1:587",
            ],
        ),
        ("listen 127.0.0.1:143;", []),
        ("listen unix:/tmp/a; protocol imap; starttls on;", []),
    ],
)
def test_each_server_with_tls_has_its_lines(tmp_path: Path, server: str, lines: list[str]) -> None:
    path = tmp_path / "a.conf"
    path.write_text(CONFIGURATION.format(server=server))
    assert list(examples(load(path, protocols=PROTOCOLS, prefix=tmp_path).servers)) == lines
