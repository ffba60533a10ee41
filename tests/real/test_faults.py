"""Backends and auth services that fail, clients that vanish: a client gets its protocol's answer, and nothing leaks."""

from __future__ import annotations

import socket
from base64 import b64encode
from contextlib import suppress

import pytest

from tests.real.clients import Clients
from tests.real.proxy import Proxy, is_oracle
from tests.support.auth_service import AuthService, accept, reply
from tests.support.daemon import Address, wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message

INTERNAL_ERROR = {
    "imap": b"* BAD internal server error\r\n",
    "pop3": b"-ERR internal server error\r\n",
    "smtp": b"451 4.3.2 Internal server error\r\n",
}
SESSIONS = 50

every_protocol = pytest.mark.parametrize("protocol", INTERNAL_ERROR)


def login_command(protocol: str, account: Account) -> bytes:
    login, password = account.login, account.password
    plain = b64encode(f"\0{login}\0{password}".encode()).decode()
    commands = {
        "imap": f"a LOGIN {login} {password}\r\n",
        "pop3": f"USER {login}\r\nPASS {password}\r\n",
        "smtp": f"EHLO client.example.test\r\nAUTH PLAIN {plain}\r\n",
    }
    return commands[protocol].encode()


@every_protocol
def test_backend_that_refuses_connections_is_an_internal_error(
    clients: Clients, account: Account, auth_service: AuthService, closed_address: Address, protocol: str
) -> None:
    auth_service.script(account.login, lambda _: accept(closed_address))
    assert clients.talk(protocol, login_command(protocol, account)).endswith(INTERNAL_ERROR[protocol])


@every_protocol
@pytest.mark.parametrize(
    "greeting",
    [b"", b"\r\n", b"* BYE -ERR 421 go away\r\n", b"\0" * 100_000],
    ids=["none", "empty", "farewell", "flood"],
)
def test_backend_that_talks_nonsense_is_an_internal_error(
    clients: Clients, account: Account, auth_service: AuthService, protocol: str, greeting: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        auth_service.script(account.login, lambda _: accept(listener.getsockname()))
        with clients.connect(protocol) as client:
            client.sendall(login_command(protocol, account))
            backend, _ = listener.accept()
            with suppress(ConnectionError), backend:
                backend.sendall(greeting)
            replies = b"".join(iter(lambda: client.recv(65536), b""))
    lines = replies.splitlines(keepends=True)
    passed_on = protocol == "imap" and greeting == b"* BYE -ERR 421 go away\r\n"
    assert lines[-1] == (greeting if passed_on else INTERNAL_ERROR[protocol])


@every_protocol
@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.0 200 OK\r\n\r\n", b"garbage\r\n\r\n", reply(("Auth-Status", "OK"), ("Auth-Server", "no address"))],
    ids=["none", "no headers", "garbage", "no address"],
)
def test_auth_service_that_talks_nonsense_is_an_internal_error(
    clients: Clients, account: Account, auth_service: AuthService, protocol: str, answer: bytes
) -> None:
    auth_service.script(account.login, lambda _: answer)
    assert clients.talk(protocol, login_command(protocol, account)).endswith(INTERNAL_ERROR[protocol])


@pytest.mark.parametrize("sent", [b"", b"a LOGIN {5}\r\n"], ids=["greeting", "command"])
def test_client_that_vanishes_leaves_no_descriptor(proxy: Proxy, clients: Clients, sent: bytes) -> None:
    before = proxy.descriptors()
    connections = [clients.connect("imap") for _ in range(SESSIONS)]
    for connection in connections:
        connection.sendall(sent)
    wait_until(lambda: proxy.descriptors() >= before + SESSIONS, "the sessions")
    for connection in connections:
        connection.close()
    wait_until(lambda: proxy.descriptors() <= before, "the end of the sessions")


def test_sessions_leave_no_descriptor(proxy: Proxy, clients: Clients, account: Account, dovecot: Dovecot) -> None:
    assert dovecot.log.exists()
    session = login_command("imap", account) + b"b LOGOUT\r\n"
    for _ in range(SESSIONS):
        clients.talk("imap", session)
    before = proxy.descriptors()
    for _ in range(SESSIONS):
        assert b"\r\nb OK " in clients.talk("imap", session)
    wait_until(lambda: proxy.descriptors() <= before, "the end of the sessions")


def test_client_that_does_not_read_is_not_buffered(
    proxy: Proxy, clients: Clients, account: Account, dovecot: Dovecot
) -> None:
    assert dovecot.log.exists()
    size = 50_000_000
    account.deliver(make_message("big", ["x" * 99] * (size // 100)))
    commands = login_command("imap", account) + b"b SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\nd LOGOUT\r\n"
    with clients.connect("imap") as client:
        before = proxy.memory()
        client.sendall(commands)
        wait_until(lambda: b"FETCH" in client.recv(65536, socket.MSG_PEEK), "the beginning of the message")
        proxy.await_rest()
        grown = proxy.memory() - before
        received = sum(map(len, iter(lambda: client.recv(65536), b"")))
    assert received > size
    assert grown < size // 10


@pytest.mark.skipif(is_oracle(), reason="nginx ends a session whose client has shut its side")
def test_answers_still_come_after_the_client_has_shut_its_side(
    clients: Clients, account: Account, dovecot: Dovecot
) -> None:
    assert dovecot.log.exists()
    with clients.connect("imap") as client:
        client.sendall(login_command("imap", account) + b"b NOOP\r\nc LOGOUT\r\n")
        client.shutdown(socket.SHUT_WR)
        replies = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"\r\nc OK " in replies
