"""The configuration of docs/identity.md in front of servers that believe the proxy."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.daemon import wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account

PAGE = Path(__file__).parents[2] / "docs" / "identity.md"
SHOWN = re.compile(r"^```nginx\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What the page's configuration names -> what it is here.
HERE = {
    "worker_processes auto;": "worker_processes 1; error_log error.log info; pid proxy.pid;",
    "127.0.0.1:9000/auth": "127.0.0.1:$auth_service/identity",
    "/etc/mailworker/mail.example.com.crt": "$certificate",
    "/etc/mailworker/mail.example.com.key": "$key",
    "listen 993 ssl;": "listen 127.0.0.1:$imaps ssl; protocol imap;",
    "listen 995 ssl;": "listen 127.0.0.1:$pop3s ssl; protocol pop3;",
    "listen 465 ssl;": "listen 127.0.0.1:$smtps ssl; protocol smtp;",
}

# Beside the page's: what is off by default, another way to the backend, and the other directives of this kind.
MORE = """
    server { listen 127.0.0.1:$imap; protocol imap; starttls on; }
    server { listen 127.0.0.1:$pop3; protocol pop3; starttls on; }
    server { listen 127.0.0.1:$smtp; protocol smtp; starttls on; proxy_smtp_auth on; }
    server { listen 127.0.0.1:$sieve; protocol sieve; proxy_sieve_xclient on; }
    server { listen 127.0.0.1:$sieve_to_starttls; protocol sieve; proxy_sieve_xclient on; proxy_ssl starttls; }
    server { listen 127.0.0.1:$imap_silent; protocol imap; proxy_imap_id off; }
    server { listen 127.0.0.1:$imap_to_starttls; protocol imap; proxy_ssl starttls; }
    server { listen 127.0.0.1:$pop3_to_starttls; protocol pop3; proxy_ssl starttls; }
    server {
        listen 127.0.0.1:$submission;
        protocol smtp;
        proxy_smtp_auth on;
        xclient_fields addr port session ttl helo proto client-transport destname;
    }
    server { listen 127.0.0.1:$smtp_by_name; protocol smtp; xclient off; proxy_pass_helo on; proxy_smtp_auth on; }
    server {
        listen 127.0.0.1:$imap_tlvs ssl;
        protocol imap;
        proxy_imap_id off;
        proxy_protocol v2;
        proxy_protocol_tlv ssl ssl_cn authority alpn unique_id;
    }
}
"""

DOVECOT = """
login_trusted_networks = 127.0.0.0/8
protocols = imap pop3 sieve submission
auth_mechanisms = plain login xoauth2 oauthbearer
passdb {
  driver = passwd-file
  master = yes
  args = scheme=PLAIN username_format=%u MASTERS
}
submission_relay_host = 127.0.0.1
submission_relay_port = RELAY
service submission-login {
  chroot =
  service_count = 0
  inet_listener submission {
    port = SUBMISSION
  }
}
"""
MASTER = ("master", "of all")


def configuration() -> str:
    """The page's, and MORE."""
    (text,) = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
    for shown, here in HERE.items():
        assert shown in text
        text = text.replace(shown, here)
    return str(text).rstrip().removesuffix("}") + MORE


def logged(server: Dovecot, protocol: str, account: Account) -> re.Match[str]:
    """Dovecot's line of a login: the client's address, and the session's id."""
    line = re.compile(
        rf"{protocol}-login: Info: Login: user=<{account.login}>, method=(\S+), rip=(\S+), lip=(\S+), .*session=<(\S+)>"
    )
    wait_until(lambda: line.search(server.log.read_text()) is not None, "the backend's log line")
    match = line.search(server.log.read_text())
    assert match is not None
    return match
