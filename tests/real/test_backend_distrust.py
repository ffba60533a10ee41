"""Backends over TLS that are not who they should be: no password goes there, and the log says why."""

from __future__ import annotations

import re
from base64 import b64encode

import pytest

from tests.real.backend_tls import PROTOCOLS, Tail
from tests.real.clients import Clients
from tests.real.proxy import Proxy
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account
from tests.support.postfix import Postfix

ANSWERS = {
    "imap": b"* BAD internal server error\r\n",
    "pop3": b"-ERR internal server error\r\n",
    "smtp": b"451 4.3.2 Internal server error\r\n",
}
REASONS = {
    "wrong_name": 'upstream SSL certificate does not match "other.example.test" while SSL handshaking to upstream, ',
    "untrusted": "upstream SSL certificate verify error: (21:unable to verify the first certificate) "
    "while SSL handshaking to upstream, ",
    "revoked": "upstream SSL certificate verify error: (23:certificate revoked) while SSL handshaking to upstream, ",
}


def log_in(clients: Clients, server: str, account: Account) -> bytes:
    """What the proxy says to a login, after its greeting."""
    protocol = server.partition("_")[0]
    credentials = b64encode(f"\0{account.login}\0{account.password}".encode())
    said = {
        "imap": f"a LOGIN {account.login} {account.password}\r\n".encode(),
        "pop3": b"AUTH PLAIN %b\r\n" % credentials,
        "smtp": b"AUTH PLAIN %b\r\n" % credentials,
    }
    return clients.talk(server, said[protocol]).partition(b"\r\n")[2]


def assert_told_nothing(protocol: str, logs: dict[str, Tail], account: Account) -> None:
    """Both servers log the name of whoever tries to log in."""
    if protocol == "smtp":
        logs["postfix"].wait_for("(lost connection|disconnect from|SSL_accept error)")
    else:
        logs["dovecot"].wait_for(rf"{protocol}-login: Info: .*\(no auth attempts .*user=<>")
    assert not [log for log in logs.values() if account.login in log.text]


@pytest.fixture
def logs(dovecot: Dovecot, postfix: Postfix) -> dict[str, Tail]:
    return {"dovecot": Tail(dovecot.log), "postfix": Tail(postfix.log)}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_is_not_to_be_trusted_gets_no_password(
    tls_clients: Clients, tls_proxy: Proxy, account: Account, logs: dict[str, Tail], protocol: str, reason: str
) -> None:
    log = Tail(tls_proxy.error_log)
    assert log_in(tls_clients, f"{protocol}_{reason}", account) == ANSWERS[protocol]
    line = log.wait_for(re.escape(REASONS[reason]))
    assert "[error]" in line
    assert f'login: "{account.login}", upstream: 127.0.0.1:' in line
    assert account.password not in log.text
    assert_told_nothing(protocol, logs, account)


def test_a_certificate_for_another_name_is_not_taken_for_this_one(
    tls_clients: Clients, tls_proxy: Proxy, account: Account, logs: dict[str, Tail]
) -> None:
    """Dovecot, which is not asked for this name, gives the certificate of its address."""
    log = Tail(tls_proxy.error_log)
    assert log_in(tls_clients, "imap_without_sni", account) == ANSWERS["imap"]
    log.wait_for(re.escape('upstream SSL certificate does not match "backend.example.test" while SSL handshaking'))
    assert_told_nothing("imap", logs, account)


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_who_speaks_no_common_version_gets_no_password(
    tls_clients: Clients, tls_proxy: Proxy, account: Account, logs: dict[str, Tail], protocol: str
) -> None:
    log = Tail(tls_proxy.error_log)
    assert log_in(tls_clients, f"{protocol}_outdated", account) == ANSWERS[protocol]
    # Dovecot closes without the alert that it has made.
    line = log.wait_for("peer closed connection in SSL handshake while SSL handshaking to upstream, client: ")
    assert "[error]" in line
    assert_told_nothing(protocol, logs, account)
