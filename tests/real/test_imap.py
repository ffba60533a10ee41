"""IMAP through the proxy to Dovecot."""

from __future__ import annotations

import imaplib
import re
from pathlib import Path

import pytest

from tests.real.clients import Clients, Security, expect_push
from tests.real.proxy import is_oracle
from tests.support.auth_service import AuthService, accept, reject
from tests.support.daemon import wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message, to_wire

pytestmark = pytest.mark.usefixtures("dovecot")

every_security = pytest.mark.parametrize("security", Security)


def fetch(client: imaplib.IMAP4, number: int) -> bytes:
    status, data = client.fetch(str(number), "(BODY.PEEK[])")
    assert status == "OK"
    assert isinstance(data[0], tuple)
    return data[0][1]


@every_security
def test_imaplib_reads_a_message(clients: Clients, account: Account, security: Security) -> None:
    message = make_message("read me")
    account.deliver(message)
    with clients.imap(security) as client:
        client.login(account.login, account.password)
        assert client.select() == ("OK", [b"1"])
        assert fetch(client, 1) == to_wire(message)


@every_security
def test_imaplib_stores_what_it_reads_back(clients: Clients, account: Account, security: Security) -> None:
    message = to_wire(make_message("big", ("0123456789" * 7 for _ in range(50_000))))
    with clients.imap(security) as client:
        client.login(account.login, account.password)
        assert client.append("INBOX", "", "", message)[0] == "OK"
        client.select()
        assert fetch(client, 1) == message


@every_security
def test_curl_fetches_a_message(clients: Clients, account: Account, security: Security) -> None:
    message = make_message("fetched by curl")
    account.deliver(message)
    scheme = "imaps" if security is Security.TLS else "imap"
    result = clients.curl(scheme + "://{address}/INBOX;MAILINDEX=1", security, account)
    assert (result.returncode, result.stdout) == (0, to_wire(message)), result.stderr


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_curl_logs_in_by_every_mechanism(clients: Clients, account: Account, mechanism: str) -> None:
    account.deliver(make_message("whichever mechanism"))
    option = ("--login-options", f"AUTH={mechanism}")
    result = clients.curl("imaps://{address}/INBOX?ALL", Security.TLS, account, *option)
    assert (result.returncode, result.stdout) == (0, b"* SEARCH 1\r\n"), result.stderr


def test_curl_uploads_a_message(clients: Clients, account: Account, tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(to_wire(make_message("uploaded by curl")))
    result = clients.curl("imaps://{address}/INBOX", Security.TLS, account, "--upload-file", str(path))
    assert result.returncode == 0, result.stderr
    assert [to_wire(message) for message in account.messages()] == [path.read_bytes()]


def test_a_tag_of_any_characters_reaches_dovecot(clients: Clients, account: Account) -> None:
    """But for the bracket, which Dovecot does not take."""
    prefix = b"!#$&',-./09:;<=>?@AZ[^_`az|}~" + b"x" * 64
    answer = re.compile(rb"(?P<tag>%b\d+) (?P<type>[A-Z]+) (?P<data>.*)" % re.escape(prefix))
    with clients.imap(Security.NONE) as client:
        vars(client).update(tagpre=prefix, tagre=answer)
        client.login(account.login, account.password)
        assert client.select() == ("OK", [b"0"])


def test_who_says_id_first_is_answered_and_logs_in(
    clients: Clients, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(imaplib.Commands, "ID", ("NONAUTH",))
    with clients.imap(Security.TLS) as client:
        assert client.xatom("ID", '("name" "imaplib")')[0] == "OK"
        assert client.untagged_responses["ID"] == [b"NIL"]
        client.login(account.login, account.password)
        assert client.select() == ("OK", [b"0"])


def test_imaplib_logs_in_by_cram_md5(clients: Clients, account: Account) -> None:
    with clients.imap(Security.NONE) as client:
        client.login_cram_md5(account.login, account.password)
        assert client.select() == ("OK", [b"0"])


def test_password_that_needs_quoting_arrives_unchanged(clients: Clients, awkward_account: Account) -> None:
    with clients.imap(Security.NONE) as client:
        client.login(awkward_account.login, awkward_account.password)
        assert client.select()[0] == "OK"


def test_credentials_may_be_literals(clients: Clients, awkward_account: Account) -> None:
    login, password = awkward_account.login.encode(), awkward_account.password.encode()
    with clients.connect("imap") as connection:
        lines = connection.makefile("rb")
        assert lines.readline() == b"* OK IMAP4 ready\r\n"
        connection.sendall(b"a LOGIN {%d}\r\n" % len(login))
        assert lines.readline() == b"+ OK\r\n"
        connection.sendall(b"%s {%d}\r\n" % (login, len(password)))
        assert lines.readline() == b"+ OK\r\n"
        connection.sendall(password + b"\r\n")
        assert lines.readline().startswith(b"a OK ")


def test_commands_pipelined_behind_the_login_reach_the_backend(clients: Clients, account: Account) -> None:
    message = make_message("pipelined")
    account.deliver(message)
    login, password = account.login.encode(), account.password.encode()
    commands = (
        b"a CAPABILITY\r\n",
        b"b LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\n" % (len(login), login, len(password), password),
        b"c SELECT INBOX\r\n",
        b"d FETCH 1 BODY.PEEK[]\r\n",
        b"e LOGOUT\r\n",
    )
    replies = clients.talk("imap", b"".join(commands))
    assert re.findall(rb"^(\w OK|\w NO|\w BAD)", replies, re.MULTILINE) == [b"a OK", b"b OK", b"c OK", b"d OK", b"e OK"]
    assert to_wire(message) in replies


@every_security
def test_wrong_password_is_refused(clients: Clients, account: Account, security: Security) -> None:
    client = clients.imap(security)
    with pytest.raises(imaplib.IMAP4.error, match=r"^b'Invalid login or password'$"):
        client.login(account.login, "wrong")
    client.shutdown()


def test_curl_reports_a_wrong_password_as_denied_login(clients: Clients, account: Account) -> None:
    stranger = Account(account.login, "wrong", account.maildir)
    login_denied = 67
    assert clients.curl("imaps://{address}/INBOX", Security.TLS, stranger).returncode == login_denied


def test_client_may_try_again_after_auth_wait(
    clients: Clients, account: Account, auth_service: AuthService, dovecot: Dovecot
) -> None:
    verdicts = iter([reject("try again", wait=1), accept(dovecot.imap)])
    auth_service.script(account.login, lambda _: next(verdicts))
    with clients.imap(Security.NONE) as client:
        with pytest.raises(imaplib.IMAP4.error, match="try again"):
            client.login(account.login, "wrong")
        client.login(account.login, account.password)
        assert client.select()[0] == "OK"
    attempts = [request.header("Auth-Login-Attempt") for request in auth_service.requests_of(account.login)]
    assert attempts == ["1", "2"]


def test_auth_service_replaces_login_and_password(
    clients: Clients, account: Account, auth_service: AuthService, dovecot: Dovecot
) -> None:
    account.deliver(make_message("of somebody known by another name"))
    auth_service.script("alias", lambda _: accept(dovecot.imap, user=account.login, password=account.password))
    with clients.imap(Security.TLS) as client:
        client.login("alias", "one-time password")
        assert client.select() == ("OK", [b"1"])


def test_auth_service_is_asked_in_the_words_of_nginx(
    clients: Clients, awkward_account: Account, auth_service: AuthService
) -> None:
    already = len(auth_service.requests_of(awkward_account.login))
    with clients.imap(Security.NONE) as client:
        client.login(awkward_account.login, awkward_account.password)
    assert [request.raw for request in auth_service.requests_of(awkward_account.login)[already:]] == [
        b"GET / HTTP/1.0\r\n"
        b"Host: 127.0.0.1\r\n"
        b"Auth-Method: plain\r\n"
        b"Auth-User: awkward@example.test\r\n"
        b'Auth-Pass: per%2520cent%20"quoted"%20back\\slash%20+{3}\r\n'
        b"Auth-Protocol: imap\r\n"
        b"Auth-Login-Attempt: 1\r\n"
        b"Client-IP: 127.0.0.1\r\n"
        b"\r\n"
    ]


@pytest.mark.parametrize(
    ("server", "answer"),
    [
        ("imap", rb"\* OK IMAP4 ready\r\na NO \[AUTHENTICATIONFAILED\] [^\r]*\r\n"),
        ("imap_discreet", rb"\* OK IMAP4 ready\r\n\* BAD internal server error\r\n"),
    ],
)
def test_error_of_the_backend_is_passed_on_as_configured(
    clients: Clients, account: Account, auth_service: AuthService, dovecot: Dovecot, server: str, answer: bytes
) -> None:
    auth_service.script(account.login, lambda _: accept(dovecot.imap, password="unknown to the backend"))
    assert re.fullmatch(answer, clients.talk(server, b"a LOGIN %s secret\r\n" % account.login.encode()))


def test_idle_gets_a_push(clients: Clients, account: Account) -> None:
    with clients.imap(Security.TLS) as client:
        expect_push(client, account)


def test_proxy_protocol_tells_the_backend_who_the_client_is(
    clients: Clients, account: Account, dovecot: Dovecot
) -> None:
    login, password = account.login.encode(), account.password.encode()
    with clients.connect("imap_haproxy", source="127.0.0.42") as connection:
        connection.sendall(b"a LOGIN %s %s\r\nb LOGOUT\r\n" % (login, password))
        replies = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"\r\na OK " in replies
    pattern = re.compile(rf"imap-login: Info: Login: user=<{account.login}>.*rip=127\.0\.0\.42,")
    wait_until(lambda: pattern.search(dovecot.log.read_text()) is not None, "the backend's log line")


@pytest.mark.skipif(is_oracle(), reason="nginx sends literals of any length")
def test_password_that_is_longer_than_a_command_opens_the_mailbox(clients: Clients, lengthy_account: Account) -> None:
    login, password = lengthy_account.login.encode(), lengthy_account.password.encode()
    session = b"a LOGIN %b {%d+}\r\n%b\r\nb LOGOUT\r\n" % (login, len(password), password)
    assert b"\r\na OK " in clients.talk("imap", session)
