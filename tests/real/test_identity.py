"""Real Dovecot, Postfix and haproxy hear who the client is."""

from __future__ import annotations

import imaplib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.clients import Clients, Security
from tests.real.conftest import Dovecots
from tests.real.identity import logged
from tests.real.proxy import Proxy, is_oracle
from tests.support.auth_service import AuthService, accept
from tests.support.daemon import Address, ServerUnavailable, wait_until
from tests.support.dovecot import Dovecot
from tests.support.haproxy import HaproxyBehind
from tests.support.mailbox import Account, make_message
from tests.support.postfix import Postfix
from tests.support.wiretap import Wiretap

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx tells IMAP and POP3 servers nothing")

DELAYING = """
login_trusted_networks = 127.0.0.0/8
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0600
  }
}
"""

every_security = pytest.mark.parametrize("security", Security)


def imap_login(identity_clients: Clients, server: str, account: Account, source: str, *before: bytes) -> bytes:
    """The answer to a login from an address, behind some commands."""
    with identity_clients.connect(server, source) as connection, connection.makefile("rwb") as lines:
        lines.readline()
        for command in before:
            lines.write(command + b"\r\n")
            lines.flush()
            while not lines.readline().startswith(command.split(b" ")[0] + b" "):
                pass
        lines.write(f"z LOGIN {account.login} {account.password}\r\n".encode())
        lines.flush()
        return lines.readline()


def session_of(auth_service: AuthService, account: Account) -> str:
    return auth_service.requests_of(account.login)[-1].header("Auth-Session")


@pytest.mark.parametrize("server", ["imap", "imap_to_starttls"])
def test_dovecot_logs_the_address_and_the_session_of_an_imap_client(
    identity_clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService, server: str
) -> None:
    assert imap_login(identity_clients, server, account, "127.0.0.77").startswith(b"z OK")
    line = logged(trusting, "imap", account)
    assert (line[2], line[3], line[4]) == ("127.0.0.77", "127.0.0.1", session_of(auth_service, account))


@every_security
def test_dovecot_hears_of_it_however_the_client_is_encrypted(
    identity_clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService, security: Security
) -> None:
    with identity_clients.imap(security) as client:
        assert client.login(account.login, account.password)[0] == "OK"
    assert logged(trusting, "imap", account)[4] == session_of(auth_service, account)


@pytest.mark.parametrize("server", ["pop3", "pop3_to_starttls"])
def test_dovecot_logs_the_address_and_the_session_of_a_pop3_client(
    identity_clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService, server: str
) -> None:
    with identity_clients.connect(server, "127.0.0.78") as connection, connection.makefile("rwb") as lines:
        lines.readline()
        for said in (f"USER {account.login}", f"PASS {account.password}", "STAT"):
            lines.write(said.encode() + b"\r\n")
            lines.flush()
            assert lines.readline().startswith(b"+OK")
    line = logged(trusting, "pop3", account)
    assert (line[2], line[3], line[4]) == ("127.0.0.78", "127.0.0.1", session_of(auth_service, account))


@pytest.fixture(scope="module")
def delaying(dovecots: Dovecots, accounts: list[Account]) -> Iterator[Dovecot]:
    """One that delays the logins of clients that guess passwords, which is Dovecot's default."""
    with dovecots.running("delaying", accounts, DELAYING) as server:
        yield server


def test_dovecot_delays_who_has_guessed_and_the_proxy_only_where_it_is_told_of_nobody(
    identity_clients: Clients, account: Account, delaying: Dovecot, auth_service: AuthService
) -> None:
    backends = {"imap": delaying.imap, "pop3": delaying.pop3, "sieve": delaying.sieve}
    wrong = Account(account.login, "wrong", account.maildir)
    auth_service.script(account.login, lambda request: accept(backends[request.header("Auth-Protocol")]))
    assert imap_login(identity_clients, "imap", wrong, "127.0.0.91").startswith(b"z NO [AUTHENTICATIONFAILED]")
    with identity_clients.connect("pop3", "127.0.0.92") as connection, connection.makefile("rwb") as lines:
        lines.write(f"USER {account.login}\r\nPASS wrong\r\n".encode())
        lines.flush()
        assert [lines.readline()[:4] for _ in range(3)] == [b"+OK ", b"+OK\r", b"-ERR"]
    assert sieve_login(identity_clients, "sieve", wrong, "127.0.0.94").startswith(b"NO ")
    guessing = {"127.0.0.91", "127.0.0.92", "127.0.0.94"}
    assert delaying.penalties() == guessing
    assert imap_login(identity_clients, "imap_silent", wrong, "127.0.0.93").startswith(b"z NO [AUTHENTICATIONFAILED]")
    assert delaying.penalties() == {*guessing, "127.0.0.1"}


def sieve_login(identity_clients: Clients, server: str, account: Account, source: str) -> bytes:
    """The answer to a login from an address."""
    response = b64encode(f"\0{account.login}\0{account.password}".encode())
    with identity_clients.connect(server, source) as connection, connection.makefile("rwb") as lines:
        while not lines.readline().startswith(b"OK"):
            pass
        lines.write(b'AUTHENTICATE "PLAIN" "%b"\r\n' % response)
        lines.flush()
        return lines.readline()


@pytest.mark.parametrize("server", ["sieve", "sieve_to_starttls"])
def test_dovecot_logs_the_address_and_the_session_of_a_managesieve_client(
    identity_clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService, server: str
) -> None:
    assert sieve_login(identity_clients, server, account, "127.0.0.79").startswith(b"OK ")
    line = logged(trusting, "managesieve", account)
    assert (line[2], line[3], line[4]) == ("127.0.0.79", "127.0.0.1", session_of(auth_service, account))


def test_dovecot_hears_nothing_where_nothing_is_to_be_told(
    identity_clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService
) -> None:
    assert imap_login(identity_clients, "imap_silent", account, "127.0.0.79").startswith(b"z OK")
    line = logged(trusting, "imap", account)
    assert line[2] == "127.0.0.1"
    assert line[4] != session_of(auth_service, account)


@pytest.mark.parametrize("server", ["imap", "imap_silent"])
def test_what_a_client_says_of_itself_is_not_believed(
    identity_clients: Clients,
    account: Account,
    trusting: Dovecot,
    auth_service: AuthService,
    identity_proxy: Proxy,
    server: str,
) -> None:
    forged = b'a ID ("name" "Forger" "x-originating-ip" "192.0.2.66" "x-session-id" "forged" "x-proxy-ttl" "5")'
    told = imap_login(
        identity_clients, server, account, "127.0.0.80", forged, b'b ID ("x-originating-ip" "192.0.2.67")'
    )
    assert told.startswith(b"z OK")
    line = logged(trusting, "imap", account)
    assert line[2] == {"imap": "127.0.0.80", "imap_silent": "127.0.0.1"}[server]
    assert line[4] != "forged"
    assert auth_service.requests_of(account.login)[-1].header("Auth-Client-Name") == "Forger"
    assert 'client sent ID: name="Forger", x-originating-ip="192.0.2.66"' in identity_proxy.error_log.read_text()


def test_an_id_behind_the_login_changes_nothing_at_dovecot(
    identity_clients: Clients, account: Account, trusting: Dovecot
) -> None:
    with identity_clients.imap(Security.TLS) as client:
        client.login(account.login, account.password)
        assert client.xatom("ID", '("x-originating-ip" "192.0.2.68")')[0] == "OK"
    assert "192.0.2.68" not in logged(trusting, "imap", account)[0]


def test_proxies_in_a_circle_come_to_an_end(identity_clients: Clients, account: Account, identity_proxy: Proxy) -> None:
    last = b'a ID ("x-proxy-ttl" "1")'
    refused = b"z NO [UNAVAILABLE] Temporary authentication failure\r\n"
    assert imap_login(identity_clients, "imap", account, "127.0.0.1", last) == refused
    assert "client came through too many proxies" in identity_proxy.error_log.read_text()


def test_clients_are_greeted_and_identified_to_as_the_page_says(
    identity_clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(imaplib.Commands, "ID", ("NONAUTH",))
    with identity_clients.imap(Security.TLS) as client:
        assert client.welcome == b"* OK mail.example.com is ready"
        assert {"SASL-IR", "ID", "AUTH=PLAIN"} <= set(client.capabilities)
        client.xatom("ID", "NIL")
        assert client.response("ID")[1] == [b'("name" "mail.example.com")']
    reader = identity_clients.pop3(Security.TLS)
    assert reader.welcome == b"+OK mail.example.com is ready"
    reader.quit()


# A client's name, and the form in which Postfix writes it.
NAMES = pytest.mark.parametrize(
    ("name", "written"), [("client.example.test", b"client.example.test"), ("office printer 4", b"office?printer?4")]
)


@NAMES
def test_postfix_logs_the_port_of_a_client_and_its_helo(
    identity_clients: Clients, account: Account, postfix: Postfix, name: str, written: bytes
) -> None:
    with identity_clients.smtp(Security.TLS, source="127.0.0.81") as client:
        assert client.sock is not None
        port = client.sock.getsockname()[1]
        client.ehlo(name)
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("by XCLIENT"))
    wait_until(lambda: f"[127.0.0.81]:{port}" in postfix.log.read_text(), "the backend's log line")
    message = account.arrived()
    assert b"from %b (unknown [127.0.0.81])" % written in message
    assert f"(Authenticated sender: {account.login})".encode() in message


def test_dovecot_s_submission_service_hears_of_the_session(
    identity_clients: Clients,
    account: Account,
    trusting: Dovecot,
    submission: Address,
    auth_service: AuthService,
) -> None:
    moved = auth_service.moved(account.login, {"smtp": submission})
    with moved, identity_clients.smtp(Security.NONE, "submission", source="127.0.0.82") as client:
        client.login(account.login, account.password)
    line = logged(trusting, "submission", account)
    assert (line[2], line[4]) == ("127.0.0.82", session_of(auth_service, account))


def test_dovecot_s_submission_service_takes_xclient_at_once(
    identity_clients: Clients, account: Account, trusting: Dovecot, submission: Address, auth_service: AuthService
) -> None:
    logged_in = [b"XCLIENT", b"EHLO", b"AUTH", b"QUIT"]
    with Wiretap(submission) as wiretap, auth_service.moved(account.login, {"smtp": wiretap.there}):
        for number in range(3):
            source = f"127.0.0.{83 + number}"
            with identity_clients.smtp(Security.NONE, "smtp", source=source) as client:
                client.ehlo("client.example.test")
                client.login(account.login, account.password)
        first, _, last = ([line.split(b" ")[0] for line in wiretap.heard(each).splitlines()] for each in range(3))
    # The second login has EHLO as well, unless another test has let this server's words be known already.
    assert (first, last) == ([b"EHLO", *logged_in], logged_in)
    wait_until(lambda: f"rip={source}" in trusting.log.read_text(), "the backend's log line")


@NAMES
def test_the_helo_is_kept_without_xclient(
    identity_clients: Clients, account: Account, postfix: Postfix, name: str, written: bytes
) -> None:
    assert postfix.submission
    with identity_clients.smtp(Security.NONE, "smtp_by_name") as client:
        client.ehlo(name)
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("by its own name"))
    message = account.arrived()
    assert b"from %b (unknown [127.0.0.1])" % written in message


@pytest.fixture
def haproxy(tmp_path: Path, trusting: Dovecot) -> Iterator[HaproxyBehind]:
    try:
        server = HaproxyBehind(tmp_path, trusting.imap)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


def test_haproxy_reads_the_unique_id_and_the_server_name_of_the_header(
    identity_clients: Clients, account: Account, haproxy: HaproxyBehind, auth_service: AuthService
) -> None:
    session = f"a LOGIN {account.login} {account.password}\r\nb LOGOUT\r\n".encode()
    with auth_service.moved(account.login, {"imap": haproxy.address}):
        options = ["-quiet", "-servername", "mail.example.test", "-alpn", "imap"]
        result = identity_clients.openssl("imap_tlvs", *options, greeting=b"* OK", data=session)
    assert b"\na OK " in result.stdout
    told = f"127.0.0.1 mail.example.test {session_of(auth_service, account)}"
    wait_until(lambda: told in haproxy.told, "haproxy's log line")


def test_dovecot_takes_a_header_with_every_fact(
    identity_clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService
) -> None:
    session = f"a LOGIN {account.login} {account.password}\r\nb LOGOUT\r\n".encode()
    with auth_service.moved(account.login, {"imap": trusting.imap_haproxy}):
        options = ["-quiet", "-servername", "mail.example.test", "-alpn", "imap"]
        result = identity_clients.openssl("imap_tlvs", *options, greeting=b"* OK", data=session)
    assert b"\na OK " in result.stdout
    assert " secured, " in logged(trusting, "imap", account)[0]
