"""POP3 through the proxy to Dovecot."""

from __future__ import annotations

import poplib
import re

import pytest

from tests.real.clients import Clients, Security
from tests.real.proxy import is_oracle
from tests.support.auth_service import AuthService, accept
from tests.support.daemon import wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message, to_wire

pytestmark = pytest.mark.usefixtures("dovecot")

every_security = pytest.mark.parametrize("security", Security)


@every_security
def test_poplib_reads_and_deletes_a_message(clients: Clients, account: Account, security: Security) -> None:
    message = make_message("read me", (".", "..", "a dot above, two dots above it"))
    account.deliver(message)
    assert clients.read_and_delete(security, account) == message.splitlines()
    wait_until(lambda: account.messages() == [], "the deletion")


@every_security
def test_curl_retrieves_a_message(clients: Clients, account: Account, security: Security) -> None:
    message = make_message("retrieved by curl")
    account.deliver(message)
    scheme = "pop3s" if security is Security.TLS else "pop3"
    result = clients.curl(scheme + "://{address}/1", security, account)
    assert (result.returncode, result.stdout) == (0, to_wire(message)), result.stderr


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "+APOP"])
def test_curl_logs_in_by_every_mechanism(clients: Clients, account: Account, mechanism: str) -> None:
    account.deliver(make_message("whichever mechanism"))
    option = ("--login-options", f"AUTH={mechanism}")
    result = clients.curl("pop3s://{address}/", Security.TLS, account, *option)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(rb"1 \d+\r\n", result.stdout)


def test_poplib_logs_in_by_apop(clients: Clients, account: Account) -> None:
    client = clients.pop3(Security.NONE)
    client.apop(account.login, account.password)
    assert client.stat() == (0, 0)
    client.quit()


def test_password_that_needs_quoting_arrives_unchanged(clients: Clients, awkward_account: Account) -> None:
    client = clients.pop3(Security.NONE)
    client.user(awkward_account.login)
    client.pass_(awkward_account.password)
    assert client.stat()[0] == 0
    client.quit()


def test_commands_pipelined_behind_the_login_reach_the_backend(clients: Clients, account: Account) -> None:
    account.deliver(make_message("pipelined"))
    commands = f"USER {account.login}\r\nPASS {account.password}\r\nSTAT\r\nUIDL\r\nQUIT\r\n"
    replies = clients.talk("pop3", commands.encode()).splitlines()
    assert len([line for line in replies if line.startswith(b"+OK")]) == 6
    assert any(line.startswith(b"+OK 1 ") for line in replies)


@every_security
def test_wrong_password_is_refused(clients: Clients, account: Account, security: Security) -> None:
    client = clients.pop3(security)
    client.user(account.login)
    with pytest.raises(poplib.error_proto, match=r"^b'-ERR Invalid login or password'$"):
        client.pass_("wrong")
    client.close()


def test_error_of_the_backend_is_passed_on(
    clients: Clients, account: Account, auth_service: AuthService, dovecot: Dovecot
) -> None:
    auth_service.script(account.login, lambda _: accept(dovecot.pop3, password="unknown to the backend"))
    client = clients.pop3(Security.NONE)
    client.user(account.login)
    with pytest.raises(poplib.error_proto, match=r"^b'-ERR \[AUTH\]"):
        client.pass_(account.password)
    client.close()


def test_proxy_protocol_tells_the_backend_who_the_client_is(
    clients: Clients, account: Account, dovecot: Dovecot
) -> None:
    with clients.connect("pop3_haproxy", source="127.0.0.43") as connection:
        connection.sendall(f"USER {account.login}\r\nPASS {account.password}\r\nQUIT\r\n".encode())
        replies = b"".join(iter(lambda: connection.recv(65536), b""))
    assert replies.count(b"+OK") == 4
    pattern = re.compile(rf"pop3-login: Info: Login: user=<{account.login}>.*rip=127\.0\.0\.43,")
    wait_until(lambda: pattern.search(dovecot.log.read_text()) is not None, "the backend's log line")


@pytest.mark.skipif(is_oracle(), reason="nginx sends commands of any length")
def test_password_that_is_longer_than_a_command_opens_the_mailbox(clients: Clients, lengthy_account: Account) -> None:
    client = clients.pop3(Security.NONE)
    client.user(lengthy_account.login)
    assert client.pass_(lengthy_account.password).startswith(b"+OK")
    client.quit()


@pytest.mark.skipif(is_oracle(), reason="nginx sends commands of any length")
@pytest.mark.parametrize("length", [240, 900, 1100, 4000])
def test_dovecot_reads_the_whole_of_a_long_password(
    clients: Clients, account: Account, auth_service: AuthService, dovecot: Dovecot, length: int
) -> None:
    """It says that the password is wrong, not that the line is."""
    auth_service.script(account.login, lambda _: accept(dovecot.pop3, password="x" * length))
    client = clients.pop3(Security.NONE)
    client.user(account.login)
    with pytest.raises(poplib.error_proto, match="Authentication failed"):
        client.pass_(account.password)
    client.close()
