"""Real Dovecot and Postfix are logged in at in every way that they take, and clients hear what went wrong."""

from __future__ import annotations

import imaplib
import re
from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.real.clients import Clients, Security
from tests.real.conftest import Dovecots
from tests.real.identity import MASTER, logged
from tests.real.proxy import Proxy, is_oracle
from tests.support.auth_service import AuthService, reply
from tests.support.daemon import Address, wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account
from tests.support.postfix import Postfix
from tests.support.wiretap import Wiretap

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx has one way for each protocol")


def through(backend: Address, *headers: tuple[str, str]) -> bytes:
    where = ("Auth-Status", "OK"), ("Auth-Server", backend[0]), ("Auth-Port", str(backend[1]))
    return reply(*where, *headers)


every_protocol = pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])


def log_in(identity_clients: Clients, protocol: str, login: str, password: str) -> None:
    """By the client's simplest way; raises what the client's library does."""
    if protocol == "imap":
        with identity_clients.imap(Security.NONE) as client:
            client.login(login, password)
    elif protocol == "pop3":
        reader = identity_clients.pop3(Security.NONE)
        reader.user(login)
        reader.pass_(password)
        reader.quit()
    else:
        with identity_clients.smtp(Security.NONE) as sender:
            sender.login(login, password)


@pytest.fixture
def backend(trusting: Dovecot, submission: Address, protocol: str) -> Address:
    """Dovecot, which speaks the test's `protocol`."""
    return {"imap": trusting.imap, "pop3": trusting.pop3, "smtp": submission}[protocol]


@every_protocol
@pytest.mark.parametrize(
    ("headers", "mechanism"),
    [
        ({"Auth-Backend-Mech": "plain"}, "PLAIN"),
        ({"Auth-Backend-Mech": "login"}, "LOGIN"),
        ({"Auth-Backend-Mech": "xoauth2", "Auth-Pass": "$password"}, "XOAUTH2"),
        ({"Auth-Backend-Mech": "oauthbearer", "Auth-Pass": "$password"}, "OAUTHBEARER"),
        ({"Auth-Master-User": MASTER[0], "Auth-Pass": MASTER[1]}, "PLAIN"),
    ],
    ids=["plain", "login", "xoauth2", "oauthbearer", "master user"],
)
def test_dovecot_is_logged_in_at_in_the_way_that_the_auth_service_names(
    identity_clients: Clients,
    account: Account,
    trusting: Dovecot,
    backend: Address,
    auth_service: AuthService,
    protocol: str,
    headers: dict[str, str],
    mechanism: str,
) -> None:
    told = [(name, value.replace("$password", account.password)) for name, value in headers.items()]
    auth_service.script(account.login, lambda _: through(backend, *told))
    log_in(identity_clients, protocol, account.login, "whatever" if "Auth-Pass" in headers else account.password)
    assert logged(trusting, {"smtp": "submission"}.get(protocol, protocol), account)[1] == mechanism


def test_postfix_that_offers_login_alone_is_logged_in_at_by_it(
    identity_clients: Clients, account: Account, postfix: Postfix, auth_service: AuthService
) -> None:
    with (
        auth_service.moved(account.login, {"smtp": postfix.login_only}),
        identity_clients.smtp(Security.NONE) as client,
    ):
        client.login(account.login, account.password)
        assert client.mail(account.login)[0] == 250
        assert client.rcpt("elsewhere@example.org")[0] == 250
    wait_until(lambda: f"sasl_method=LOGIN, sasl_username={account.login}" in postfix.log.read_text(), "the log line")


@pytest.mark.parametrize("server", ["smtp", "smtp_by_name"])
def test_postfix_that_takes_no_password_in_clear_gets_none(
    identity_clients: Clients,
    identity_proxy: Proxy,
    account: Account,
    postfix: Postfix,
    auth_service: AuthService,
    server: str,
) -> None:
    with Wiretap(postfix.tls_only) as wiretap, auth_service.moved(account.login, {"smtp": wiretap.there}):
        with identity_clients.smtp(Security.NONE, server) as client:
            client.ehlo("client.example.test")
            response = b64encode(f"\0{account.login}\0{account.password}".encode()).decode()
            assert client.docmd("AUTH", f"PLAIN {response}")[0] == 454
        heard = wiretap.heard()
    assert b"\r\nAUTH" not in heard
    assert b"EHLO client.example.test\r\n" in heard
    assert "upstream offers no login before STARTTLS" in identity_proxy.error_log.read_text()


def test_postfix_is_not_logged_in_at_where_the_auth_service_says_so(
    identity_clients: Clients, account: Account, postfix: Postfix, auth_service: AuthService
) -> None:
    """XCLIENT tells the login instead."""
    auth_service.script(account.login, lambda _: through(postfix.submission, ("Auth-Method", "none")))
    with identity_clients.smtp(Security.NONE) as client:
        client.login(account.login, "whatever")
        client.mail(account.login)
        assert client.rcpt("elsewhere@example.org")[0] == 250
    wait_until(lambda: f"sasl_method=XCLIENT, sasl_username={account.login}" in postfix.log.read_text(), "the line")


def test_a_wrong_password_at_dovecot_is_one_and_the_session_goes_on(
    identity_clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService
) -> None:
    auth_service.script(account.login, lambda request: through(trusting.imap))
    with identity_clients.imap(Security.TLS) as client:
        with pytest.raises(imaplib.IMAP4.error, match=r"\[AUTHENTICATIONFAILED\] Authentication failed"):
            client.login(account.login, "wrong")
        assert client.login(account.login, account.password)[0] == "OK"


def test_a_backend_that_is_not_there_is_no_wrong_password(
    identity_clients: Clients, account: Account, closed_address: Address, auth_service: AuthService
) -> None:
    with auth_service.moved(account.login, dict.fromkeys(("imap", "pop3", "smtp"), closed_address)):
        with (
            identity_clients.imap(Security.TLS) as client,
            pytest.raises(imaplib.IMAP4.error, match=r"\[UNAVAILABLE\]"),
        ):
            client.login(account.login, account.password)
        with identity_clients.smtp(Security.TLS) as sender:
            sender.ehlo()
            plain = b64encode(f"\0{account.login}\0{account.password}".encode()).decode()
            assert sender.docmd("AUTH", f"PLAIN {plain}")[0] == 454


@every_protocol
@pytest.mark.parametrize("mechanism", ["", "plain", "login", "xoauth2"])
@pytest.mark.parametrize("name", ["foreign_account", "lengthy_account"])
def test_a_password_of_any_bytes_and_length_gets_to_dovecot(
    identity_clients: Clients,
    request: pytest.FixtureRequest,
    backend: Address,
    auth_service: AuthService,
    protocol: str,
    mechanism: str,
    name: str,
) -> None:
    account: Account = request.getfixturevalue(name)
    headers = ("Auth-Backend-Mech", mechanism), ("Auth-Pass", account.password)
    auth_service.script(account.login, lambda _: through(backend, *headers))
    try:
        log_in(identity_clients, protocol, account.login, "whatever")
    finally:
        auth_service.forget(account.login)


@pytest.mark.parametrize("server", ["imap", "imap_silent"])
def test_dovecot_gets_login_at_once(
    identity_clients: Clients, foreign_account: Account, trusting: Dovecot, auth_service: AuthService, server: str
) -> None:
    login, password = foreign_account.login.encode(), foreign_account.password.encode()
    command = b"a LOGIN {%d+}\r\n%b {%d+}\r\n%b\r\n" % (len(login), login, len(password), password)
    with Wiretap(trusting.imap) as wiretap:
        auth_service.script(foreign_account.login, lambda _: through(wiretap.there))
        for number in range(3):  # the last one is foreseen without ID
            assert b"\r\na OK " in identity_clients.talk(server, command + b"b LOGOUT\r\n")
            heard = wiretap.heard(number)
            assert heard.startswith(b"a ID (") == (server == "imap")
            assert heard.endswith(command + b"b LOGOUT\r\n")
            assert heard.count(b"\r\n") == (5 if server == "imap" else 4)
    auth_service.forget(foreign_account.login)


BARRING = """
listen = 127.0.0.1, 127.0.0.5
imap_capability = +LOGINDISABLED
disable_plaintext_auth = yes
"""


@pytest.fixture(scope="module")
def barring(
    dovecots: Dovecots, accounts: list[Account], foreign_account: Account, lengthy_account: Account
) -> Iterator[Dovecot]:
    """One that lists LOGINDISABLED, and AUTH=PLAIN only at 127.0.0.1, which it takes for its own machine."""
    with dovecots.running("barring", [*accounts, foreign_account, lengthy_account], BARRING) as server:
        yield server


@pytest.mark.parametrize("server", ["imap", "imap_silent"])
@pytest.mark.parametrize("name", ["account", "foreign_account", "lengthy_account"])
def test_dovecot_that_refuses_login_gets_plain(
    identity_clients: Clients,
    request: pytest.FixtureRequest,
    barring: Dovecot,
    auth_service: AuthService,
    server: str,
    name: str,
) -> None:
    account: Account = request.getfixturevalue(name)
    response = b64encode(f"\0{account.login}\0{account.password}".encode())
    separator = b"\r\n" if len(response) > 1000 else b" "
    said = b"a AUTHENTICATE PLAIN%b%b\r\nb LOGOUT\r\n" % (separator, response)
    with Wiretap(barring.imap) as wiretap:
        auth_service.script(account.login, lambda _: through(wiretap.there, ("Auth-Pass", account.password)))
        for number in range(3):
            assert b"\r\na OK " in identity_clients.talk(server, f"a LOGIN {account.login} x\r\nb LOGOUT\r\n".encode())
            assert re.fullmatch(rb"(a ID \([^\r]*\r\n)?" + re.escape(said), wiretap.heard(number))
    auth_service.forget(account.login)


@pytest.mark.parametrize("server", ["imap", "imap_silent"])
def test_dovecot_that_takes_no_password_in_clear_gets_none(
    identity_clients: Clients,
    identity_proxy: Proxy,
    account: Account,
    barring: Dovecot,
    auth_service: AuthService,
    server: str,
) -> None:
    attempt = f"a LOGIN {account.login} {account.password}\r\nb LOGOUT\r\n".encode()
    with Wiretap(("127.0.0.5", barring.imap[1])) as wiretap, auth_service.moved(account.login, {"imap": wiretap.there}):
        for number in range(3):
            assert b"\r\na NO [UNAVAILABLE] " in identity_clients.talk(server, attempt)
            assert re.fullmatch(rb"(a ID \([^\r]*\r\n)?", wiretap.heard(number))
    assert "upstream offers no login before STARTTLS" in identity_proxy.error_log.read_text()


@pytest.mark.parametrize("name", ["account", "foreign_account"])
def test_dovecot_gets_a_pop3_login_at_once(
    clients: Clients,
    request: pytest.FixtureRequest,
    trusting: Dovecot,
    auth_service: AuthService,
    name: str,
) -> None:
    account: Account = request.getfixturevalue(name)
    login, password = account.login.encode(), account.password.encode()
    session = b"USER %b\r\nPASS %b\r\n" % (login, password)
    at_once = b"AUTH PLAIN %b\r\n" % b64encode(b"\0%b\0%b" % (login, password))
    with Wiretap(trusting.pop3) as wiretap:
        auth_service.script(account.login, lambda _: through(wiretap.there))
        heard = list[bytes]()
        while heard.count(at_once) < 2:  # each worker learns
            assert len(heard) < 20
            assert b"+OK Logged in." in clients.talk("pop3", session + b"QUIT\r\n")
            heard.append(wiretap.heard(len(heard)).removesuffix(b"QUIT\r\n"))
        assert set(heard) == {session, b"CAPA\r\n" + at_once, at_once}
    auth_service.forget(account.login)


def test_dovecot_that_takes_no_pop3_password_in_clear_gets_none(
    identity_clients: Clients,
    identity_proxy: Proxy,
    account: Account,
    barring: Dovecot,
    auth_service: AuthService,
) -> None:
    attempt = f"USER {account.login}\r\nPASS {account.password}\r\nQUIT\r\n".encode()
    with Wiretap(("127.0.0.5", barring.pop3[1])) as wiretap, auth_service.moved(account.login, {"pop3": wiretap.there}):
        assert b"\r\n-ERR [SYS/TEMP] " in identity_clients.talk("pop3", attempt)
        assert wiretap.heard() == f"USER {account.login}\r\nCAPA\r\n".encode()
    told = f'upstream offers no login before STARTTLS while reading response from upstream, .*"{account.login}"'
    assert re.search(told, identity_proxy.error_log.read_text())
