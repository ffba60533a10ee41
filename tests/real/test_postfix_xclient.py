"""What Postfix makes of XCLIENT and AUTH at their limits, and what its clients could do without the guard."""

from __future__ import annotations

import smtplib
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailworker.model import InetAddress
from mailworker.wire.xclient import build, listed_attributes
from tests.real.clients import TIMEOUT, Clients, Security
from tests.real.proxy import Proxy, is_oracle, running
from tests.support.auth_service import AuthService, accept
from tests.support.certificates import CertificateAuthority
from tests.support.daemon import wait_until
from tests.support.mailbox import Account, make_message
from tests.support.postfix import Postfix
from tests.support.wiretap import Wiretap

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx does otherwise")

CONFIGURATION = """\
error_log error.log info;
pid proxy.pid;
events {
}
mail {
    server_name proxy.example.test;
    auth_http 127.0.0.1:$auth_service/submission;
    proxy_pass_error_message on;
    smtp_client_buffer 64k;

    server {
        listen unix:$socket;
        protocol smtp;
    }
    server {
        listen 127.0.0.1:$by_xclient;
        protocol smtp;
    }
    server {
        listen 127.0.0.1:$with_auth;
        protocol smtp;
        xclient off;
        proxy_smtp_auth on;
    }
    server {
        listen 127.0.0.1:$guarded;
        protocol smtp;
        smtp_auth none;
        xclient off;
    }
    server {
        listen 127.0.0.1:$unguarded;
        protocol smtp;
        smtp_auth none;
        xclient off;
        proxy_smtp_xclient_guard off;
    }
}
"""


@pytest.fixture(scope="module")
def proxy(folder: Path, auth_service: AuthService) -> Iterator[Proxy]:
    path = folder / "postfix_xclient"
    with running(path, CONFIGURATION, {"auth_service": auth_service.port, "socket": path / "smtp"}) as server:
        yield server


@pytest.fixture
def clients(proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(proxy, authority)


class UnixSmtp(smtplib.SMTP):
    """A client of a unix socket; the host is its path."""

    def _get_socket(self, host: str, _port: int, timeout: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect(host)
        return connection


def login_of(name: str, password: str) -> str:
    return b64encode(f"\0{name}\0{password}".encode()).decode()


def test_a_client_of_a_unix_socket_has_no_address(
    folder: Path, proxy: Proxy, account: Account, postfix: Postfix
) -> None:
    assert proxy.error_log.exists()
    with UnixSmtp(str(folder / "postfix_xclient" / "smtp"), 25, timeout=TIMEOUT) as client:
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("from a unix socket"))
        client.ehlo()
        assert not client.has_extn("xclient")
    received = account.arrived()
    assert b"(unknown [unknown])" in received
    assert f"(Authenticated sender: {account.login})".encode() in received
    wait_until(lambda: "unknown[unknown]" in postfix.log.read_text(), "the backend's log line")


@pytest.mark.parametrize("length", [10, 400, 1600, 3000, 4000])
def test_postfix_reads_the_whole_of_a_long_password(
    clients: Clients, account: Account, auth_service: AuthService, postfix: Postfix, length: int
) -> None:
    """It says that the password is wrong, not that the line is."""
    password = "x" * length
    auth_service.script(account.login, lambda _: accept(postfix.submission, password=password))
    with clients.smtp(Security.NONE, "with_auth") as client:
        client.ehlo()
        code, text = client.docmd("AUTH", f"PLAIN {login_of(account.login, password)}")
    assert (code, text[:36]) == (535, b"5.7.8 Error: authentication failed: ")


def test_postfix_keeps_a_login_that_comes_in_the_last_of_two_commands(postfix: Postfix) -> None:
    name, login = b".".join([b"a" * 60] * 4), b"=" * 80
    with smtplib.SMTP(*postfix.submission, timeout=TIMEOUT) as client:
        code, hello = client.ehlo()
        listed = listed_attributes(b"250-" + hello.replace(b"\n", b"\r\n250 ") + b"\r\n")
        assert code == 250
        assert listed is not None
        assert {b"NAME", b"ADDR", b"LOGIN"} <= listed
        commands = build(listed, InetAddress("192.0.2.7", 1), login, name)
        assert [len(command) <= 512 for command in commands] == [True, True]
        for command in commands:
            assert client.docmd(command.decode().strip())[0] == 220
        client.ehlo()
        assert client.mail("a@example.org")[0] == 250
        assert client.rcpt("elsewhere@example.org")[0] == 250
        assert not client.has_extn("xclient")
    wait_until(lambda: f"{name.decode()}[192.0.2.7]" in postfix.log.read_text(), "the backend's log line")


def test_postfix_takes_xclient_at_once(
    clients: Clients, account: Account, auth_service: AuthService, postfix: Postfix
) -> None:
    with Wiretap(postfix.submission) as wiretap, auth_service.moved(account.login, {"smtp": wiretap.there}):
        for number in range(3):
            with clients.smtp(Security.NONE, "by_xclient") as client:
                client.ehlo("client.example.test")
                client.login(account.login, account.password)
                client.sendmail(account.login, [account.login], make_message(f"number {number}"))
            hello, *commands = wiretap.heard(number).splitlines()
            if number == 0:
                assert hello == b"EHLO proxy.example.test"
                hello, *commands = commands
            known = hello.startswith(b"XCLIENT ADDR=127.0.0.1 LOGIN=")
            assert known or number == 1  # another test may have been the first one
            assert commands[0 if known else 1] == b"EHLO client.example.test"
    wait_until(lambda: account.arrivals() > 2, "the deliveries")
    for message in account.messages():
        assert b"from client.example.test (unknown [127.0.0.1])" in message
        assert f"(Authenticated sender: {account.login})".encode() in message


def test_without_the_guard_anybody_relays_in_anybodys_name(clients: Clients, postfix: Postfix) -> None:
    assert postfix.submission
    with clients.smtp(Security.NONE, "unguarded") as client:
        client.ehlo()
        client.mail("stranger@example.org")
        assert client.rcpt("elsewhere@example.org")[0] == 554
        client.rset()
        assert client.docmd("XCLIENT", "LOGIN=boss")[0] == 220
        client.ehlo()
        client.mail("boss@example.org")
        assert client.rcpt("elsewhere@example.org")[0] == 250


@pytest.mark.parametrize("hello", ["EHLO", "HELO"])
def test_the_guard_keeps_them_from_postfix(
    clients: Clients, proxy: Proxy, account: Account, postfix: Postfix, hello: str
) -> None:
    assert postfix.submission
    with clients.smtp(Security.NONE, "guarded") as client:
        client.docmd(hello, "client.example.test")
        client.mail("stranger@example.org")
        assert client.rcpt(account.login) == (421, b"4.3.5 Service not available")
    told = [line for line in proxy.error_log.read_text().splitlines() if "upstream takes XCLIENT" in line]
    assert len([line for line in told if "[error]" in line]) == 1


@pytest.mark.parametrize("hello", ["EHLO", "HELO"])
def test_password_that_is_longer_than_a_command_logs_in(
    clients: Clients, lengthy_account: Account, postfix: Postfix, hello: str
) -> None:
    assert postfix.submission
    with clients.smtp(Security.NONE, "with_auth") as client:
        client.docmd(hello, "client.example.test")
        assert client.docmd("AUTH", f"PLAIN {login_of(lengthy_account.login, lengthy_account.password)}")[0] == 235
        assert client.mail(lengthy_account.login)[0] == 250
        assert client.rcpt("elsewhere@example.org")[0] == 250
