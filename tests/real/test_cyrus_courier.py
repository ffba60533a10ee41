"""IMAP and POP3 through the proxy to Cyrus and to Courier."""

from __future__ import annotations

import imaplib
import random
import re
import socket
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.real.clients import Clients, Security
from tests.real.programs import Programs, both_protocols, every_encryption
from tests.real.proxy import is_oracle
from tests.real.test_imap import fetch
from tests.real.test_mbsync import digests
from tests.support.auth_service import AuthService, accept
from tests.support.courier import Courier
from tests.support.cyrus import Cyrus
from tests.support.daemon import ServerUnavailable, wait_until
from tests.support.exim import Exim
from tests.support.mailbox import Account, make_message, read_maildir, to_wire
from tests.support.ports import Ports
from tests.support.wiretap import Wiretap

KINDS: dict[str, type[Cyrus] | type[Courier]] = {"cyrus": Cyrus, "courier": Courier}
BIG = 3_000_000
LINE = 76

every_security = pytest.mark.parametrize("security", Security, ids=lambda s: s.value)


Server = Cyrus | Courier


class Mailbox:
    """An account of a server, looked at past the proxy."""

    def __init__(self, server: Server, account: Account) -> None:
        self._server = server
        self._account = account

    def store(self, *messages: bytes) -> None:
        """Append messages with the line ends of a maildir."""
        with self._log_in() as client:
            for message in messages:
                assert client.append("INBOX", "", "", to_wire(message))[0] == "OK"

    def messages(self) -> list[bytes]:
        """All of its messages, with the line ends of a maildir."""
        with self._log_in() as client:
            _, count = client.select(readonly=True)
            return [fetch(client, number + 1).replace(b"\r\n", b"\n") for number in range(int(count[0] or b"0"))]

    def _log_in(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4(*self._server.imap)
        # What imaplib sends in two pieces would wait for a delayed acknowledgement each time.
        client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.login(self._account.login, self._account.password)
        return client


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest,
    folder: Path,
    accounts: list[Account],
    awkward_account: Account,
    backend_ports: Ports,
) -> Iterator[Server]:
    ports = {protocol: backend_ports[f"{request.param}_{protocol}"] for protocol in KINDS[request.param].PORTS}
    try:
        server = KINDS[request.param](folder / request.param, [*accounts, awkward_account], ports)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
def account(account: Account, server: Server, auth_service: AuthService) -> Iterator[Account]:
    """An account that no other test uses, with an empty mailbox at the server."""
    with auth_service.moved(account.login, {"imap": server.imap, "pop3": server.pop3}):
        yield account


@pytest.fixture
def awkward(awkward_account: Account, server: Server, auth_service: AuthService) -> Iterator[Account]:
    """Its password needs quoting in every protocol."""
    with auth_service.moved(awkward_account.login, {"imap": server.imap, "pop3": server.pop3}):
        yield awkward_account


@pytest.fixture
def mailbox(server: Server, account: Account) -> Mailbox:
    return Mailbox(server, account)


@every_security
def test_imaplib_stores_what_it_reads_back(
    clients: Clients, account: Account, mailbox: Mailbox, security: Security
) -> None:
    message = make_message("big", random_lines(BIG))
    with clients.imap(security) as client:
        client.login(account.login, account.password)
        assert client.append("INBOX", "", "", to_wire(message))[0] == "OK"
        client.select()
        assert fetch(client, 1) == to_wire(message)
    assert mailbox.messages() == [message]


@every_security
def test_poplib_reads_and_deletes_a_message(
    clients: Clients, account: Account, mailbox: Mailbox, security: Security
) -> None:
    message = make_message("read me", (".", "..", "a dot above, two dots above it"))
    mailbox.store(message)
    assert clients.read_and_delete(security, account) == message.splitlines()
    wait_until(lambda: mailbox.messages() == [], "the deletion, which follows Courier's answer to QUIT")


def test_password_that_needs_quoting_opens_the_mailbox(clients: Clients, awkward: Account) -> None:
    with clients.imap(Security.NONE) as client:
        client.login(awkward.login, awkward.password)
        assert client.select()[0] == "OK"
    reader = clients.pop3(Security.NONE)
    reader.user(awkward.login)
    reader.pass_(awkward.password)
    assert reader.stat()[0] == 0
    reader.quit()


@pytest.mark.skipif(is_oracle(), reason="nginx waits for every server")
def test_a_login_goes_at_once_to_a_server_that_takes_literals_at_once(
    clients: Clients, awkward: Account, server: Server, auth_service: AuthService
) -> None:
    said = b"a LOGIN {%d+}\r\n%b {%d+}\r\n%b\r\nb LOGOUT\r\n"
    login, password = awkward.login.encode(), awkward.password.encode()
    session = said % (len(login), login, len(password), password)
    with Wiretap(server.imap) as wiretap, auth_service.moved(awkward.login, {"imap": wiretap.there}):
        for number in range(3):  # the last one is foreseen
            assert b"\r\na OK " in clients.talk("imap", session)
            heard = wiretap.heard(number)
            assert heard == (session if isinstance(server, Cyrus) else session.replace(b"+}", b"}"))


@pytest.mark.skipif(is_oracle(), reason="nginx has one way for every server")
def test_a_pop3_login_goes_at_once_to_a_server_that_lists_plain(
    clients: Clients, awkward: Account, server: Server, auth_service: AuthService
) -> None:
    """Cyrus does, and greets with a timestamp; Courier lists no SASL."""
    login, password = awkward.login.encode(), awkward.password.encode()
    session = b"USER %b\r\nPASS %b\r\n" % (login, password)
    at_once = b"AUTH PLAIN %b\r\n" % b64encode(b"\0%b\0%b" % (login, password))
    known = at_once if isinstance(server, Cyrus) else session
    with Wiretap(server.pop3) as wiretap, auth_service.moved(awkward.login, {"pop3": wiretap.there}):
        heard = list[bytes]()
        while heard.count(known) < 2 + (known is session):  # each worker learns
            assert len(heard) < 20
            assert clients.talk("pop3", session + b"QUIT\r\n").count(b"+OK") == 4
            heard.append(wiretap.heard(len(heard)).removesuffix(b"QUIT\r\n"))
        assert set(heard) == {session, b"CAPA\r\n" + known, known}


def test_imap_commands_pipelined_behind_the_login_are_obeyed(
    clients: Clients, account: Account, mailbox: Mailbox
) -> None:
    message = make_message("pipelined")
    mailbox.store(message)
    login, password = account.login.encode(), account.password.encode()
    commands = (
        b"a LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\n" % (len(login), login, len(password), password),
        b"b SELECT INBOX\r\n",
        b"c FETCH 1 BODY.PEEK[]\r\n",
        b"d LOGOUT\r\n",
    )
    replies = clients.talk("imap", b"".join(commands))
    assert re.findall(rb"^(\w OK|\w NO|\w BAD)", replies, re.MULTILINE) == [b"a OK", b"b OK", b"c OK", b"d OK"]
    assert to_wire(message) in replies


def test_pop3_commands_pipelined_behind_the_login_are_obeyed(
    clients: Clients, account: Account, mailbox: Mailbox
) -> None:
    mailbox.store(make_message("pipelined"))
    commands = f"USER {account.login}\r\nPASS {account.password}\r\nSTAT\r\nUIDL\r\nQUIT\r\n"
    replies = clients.talk("pop3", commands.encode()).splitlines()
    assert len([line for line in replies if line.startswith(b"+OK")]) == 6
    assert any(line.startswith(b"+OK 1 ") for line in replies)


def test_idle_gets_a_push(clients: Clients, account: Account, mailbox: Mailbox) -> None:
    with clients.imap(Security.TLS) as client:
        client.login(account.login, account.password)
        client.select()
        client.send(b"idle IDLE\r\n")
        assert client.readline().startswith(b"+ ")
        mailbox.store(make_message("pushed"))
        assert b"* 1 EXISTS\r\n" in [client.readline(), client.readline()]
        client.send(b"DONE\r\n")
        assert any(line.startswith(b"idle OK ") for line in iter(client.readline, b""))


def test_refusal_of_the_backend_is_passed_on(clients: Clients, account: Account, auth_service: AuthService) -> None:
    auth_service.script(account.login, lambda request: accept(auth_service.backend(request), password="unknown to it"))
    commands = [f"a LOGIN {account.login} secret\r\n", f"USER {account.login}\r\nPASS secret\r\n"]
    # Courier takes five seconds for each.
    with ThreadPoolExecutor() as pool:
        imap, pop3 = pool.map(clients.talk, ("imap", "pop3"), map(str.encode, commands))
    assert re.fullmatch(rb"\* OK IMAP4 ready\r\na NO [^\r]*\r\n", imap)
    assert re.fullmatch(rb"\+OK POP3 ready [^\r]*\r\n\+OK\r\n-ERR [^\r]*\r\n", pop3)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("path", ["imaps://{address}/INBOX;MAILINDEX=1", "pop3s://{address}/1"], ids=["imap", "pop3"])
def test_curl_fetches_a_message(
    clients: Clients, account: Account, mailbox: Mailbox, path: str, mechanism: str
) -> None:
    message = make_message("fetched by curl")
    mailbox.store(message)
    result = clients.curl(path, Security.TLS, account, "--login-options", f"AUTH={mechanism}")
    assert (result.returncode, result.stdout) == (0, to_wire(message)), result.stderr


def test_poplib_logs_in_by_apop(clients: Clients, account: Account, mailbox: Mailbox) -> None:
    mailbox.store(make_message("seen by APOP"))
    client = clients.pop3(Security.NONE)
    client.apop(account.login, account.password)
    assert client.stat()[0] == 1
    client.quit()


def test_curl_uploads_a_message(clients: Clients, account: Account, mailbox: Mailbox, tmp_path: Path) -> None:
    message = make_message("uploaded by curl")
    (tmp_path / "message").write_bytes(to_wire(message))
    upload = ["--upload-file", str(tmp_path / "message")]
    result = clients.curl("imap://{address}/INBOX", Security.STARTTLS, account, *upload)
    assert result.returncode == 0, result.stderr
    assert mailbox.messages() == [message]


def test_mbsync_carries_both_ways_byte_for_byte(
    clients: Clients, account: Account, mailbox: Mailbox, tmp_path: Path
) -> None:
    sizes = [*range(0, 50_000, 2500), BIG]
    mailbox.store(*[make_message(f"far {size}", random_lines(size)) for size in sizes])
    near = tmp_path / "near" / "INBOX"
    for part in ("cur", "new", "tmp"):
        (near / part).mkdir(parents=True)
    for size in sizes:
        (near / "new" / f"{size}.near").write_bytes(make_message(f"near {size}", random_lines(size)))
    result = clients.mbsync(account, tmp_path / "near", "imaps_without_literal_plus")
    assert result.returncode == 0, result.stderr
    copies = digests(read_maildir(near))
    assert copies.total() == 2 * len(sizes)
    assert copies == digests(mailbox.messages())


@both_protocols
@every_encryption
def test_fetchmail_fetches_and_deletes(
    programs: Programs, account: Account, mailbox: Mailbox, protocol: str, security: Security
) -> None:
    mailbox.store(*[make_message(f"number {number}") for number in range(3)])
    result = programs.fetchmail(protocol, security, account)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [programs.fetched.count(b"Subject: number %d\n" % number) for number in range(3)] == [1, 1, 1]
    assert mailbox.messages() == []


@both_protocols
def test_getmail_fetches(programs: Programs, account: Account, mailbox: Mailbox, protocol: str) -> None:
    mailbox.store(*[make_message(f"number {number}") for number in range(3)])
    result = programs.getmail(protocol, account)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [programs.fetched.count(b"Subject: number %d\n" % number) for number in range(3)] == [1, 1, 1]


def test_mutt_sends_by_exim_and_keeps_a_copy(
    programs: Programs, account: Account, server: Server, mailbox: Mailbox, exim: Exim, auth_service: AuthService
) -> None:
    """Exim delivers into the maildir, which is Courier's mailbox, too."""
    with auth_service.moved(account.login, {"imap": server.imap, "smtp": exim.smtp}):
        result = programs.mutt(Security.STARTTLS, account, b"Hello.\n", "smtp_without_xclient")
    assert result.returncode == 0, result.stdout + result.stderr
    wait_until(lambda: any(message.startswith(b"Received: ") for message in account.messages()), "the delivery")
    copies = [message for message in mailbox.messages() if not message.startswith(b"Received: ")]
    assert [b"\nSubject: by mutt\n" in message for message in copies] == [True]


def random_lines(size: int) -> list[str]:
    """About `size` bytes of text, the same for the same size."""
    text = random.Random(size).randbytes(size // 2).hex()
    return [text[start : start + LINE] for start in range(0, len(text), LINE)]
