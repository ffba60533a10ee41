"""Hostile logins in front of real backends: each stays a login."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.real.clients import Clients
from tests.real.proxy import is_oracle
from tests.support.auth_service import AuthService, accept
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message, to_wire
from tests.support.postfix import Postfix

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx passes some of them on")


@pytest.mark.parametrize("login", ["u\r\nb LOGOUT", "u {3}\r\nabc", 'u" "p" "', "\r\n", "u\r\n\r\n"], ids=repr)
def test_dovecot_takes_an_imap_login_for_one_name(
    clients: Clients, auth_service: AuthService, dovecot: Dovecot, login: str
) -> None:
    auth_service.script(login, lambda _: accept(dovecot.imap))
    name = login.encode()
    answer = clients.talk("imap", b"a LOGIN {%d+}\r\n%b {1+}\r\np\r\n" % (len(name), name))
    assert answer.count(b"\r\n") == 2
    assert answer.splitlines()[1].startswith(b"a NO ")


@pytest.mark.parametrize("login", ["u\r\nQUIT", "u\nQUIT", "u\rQUIT"], ids=repr)
def test_no_pop3_login_of_many_lines_reaches_dovecot(
    clients: Clients, auth_service: AuthService, dovecot: Dovecot, login: str
) -> None:
    auth_service.script(login, lambda _: accept(dovecot.pop3))
    credentials = b64encode(f"\0{login}\0p".encode())
    assert clients.talk("pop3", b"AUTH PLAIN %b\r\n" % credentials).splitlines()[1:] == [b"-ERR invalid command"]


def test_postfix_takes_an_xclient_login_for_one_name(
    clients: Clients, account: Account, auth_service: AuthService, postfix: Postfix
) -> None:
    login = "u NAME=evil+41\r\nQUIT=="
    auth_service.script(login, lambda _: accept(postfix.smtp))
    address, message = account.login.encode(), make_message("by a strange name")
    session = (
        b"EHLO client.example.test\r\nAUTH PLAIN %b\r\n" % b64encode(f"\0{login}\0p".encode()),
        b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\nDATA\r\n%b.\r\nQUIT\r\n" % (address, address, to_wire(message)),
    )
    replies = clients.talk("smtp", b"".join(session))
    final = [line[:3] for line in replies.splitlines() if line[3:4] == b" "]
    assert final == [b"220", b"250", b"235", b"250", b"250", b"354", b"250", b"221"]
    received = account.arrived()
    assert b"(Authenticated sender: u NAME=evil+41??QUIT==)" in received
    assert received.endswith(message)


def test_a_login_that_fits_no_xclient_does_not_reach_postfix(
    clients: Clients, auth_service: AuthService, postfix: Postfix
) -> None:
    login = "u" * 600
    auth_service.script(login, lambda _: accept(postfix.smtp))
    answer = clients.talk("smtp", b"AUTH PLAIN %b\r\n" % b64encode(f"\0{login}\0p".encode()))
    assert answer.splitlines()[1:] == [b"500 5.5.1 Invalid command"]
