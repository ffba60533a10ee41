import poplib
from collections.abc import Iterator

import pytest

from mailworker.demo.mailbox import Mailbox
from mailworker.demo.pop3 import Pop3Factory
from tests.demo.conftest import Serve
from tests.support.patience import PATIENCE


@pytest.fixture
def port(serve: Serve, mailbox: Mailbox) -> int:
    return serve(Pop3Factory(mailbox))


@pytest.fixture
def client(port: int) -> Iterator[poplib.POP3]:
    client = log_in(port)
    yield client
    client.close()


def log_in(port: int) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", port, timeout=PATIENCE)
    client.user("demo")
    client.pass_("demo")
    return client


def test_messages_are_served_line_by_line(client: poplib.POP3, mailbox: Mailbox) -> None:
    for number, message in enumerate(mailbox.messages, 1):
        assert client.retr(number)[1] == message.content.splitlines()


def test_sizes_and_unique_ids_are_listed(client: poplib.POP3, mailbox: Mailbox) -> None:
    sizes = [b"%d %d" % (n, len(message.content)) for n, message in enumerate(mailbox.messages, 1)]
    assert client.list()[1] == sizes
    assert client.stat() == (3, sum(len(message.content) for message in mailbox.messages))
    assert len({line.split()[1] for line in client.uidl()[1]}) == 3


def test_wrong_password_is_refused(port: int) -> None:
    client = poplib.POP3("127.0.0.1", port, timeout=PATIENCE)
    client.user("demo")
    with pytest.raises(poplib.error_proto):
        client.pass_("wrong")
    client.close()


def test_quit_removes_what_was_deleted(port: int, mailbox: Mailbox) -> None:
    client = log_in(port)
    client.dele(1)
    client.quit()
    assert [message.uid for message in mailbox.messages] == [2, 3]


def test_rset_brings_back_what_was_deleted(port: int, mailbox: Mailbox) -> None:
    client = log_in(port)
    client.dele(1)
    client.rset()
    client.retr(1)
    client.quit()
    assert [message.uid for message in mailbox.messages] == [1, 2, 3]


def test_a_deleted_message_is_gone_for_the_session(client: poplib.POP3) -> None:
    client.dele(1)
    with pytest.raises(poplib.error_proto):
        client.retr(1)


def test_a_session_that_only_ends_removes_nothing(port: int, mailbox: Mailbox) -> None:
    client = log_in(port)
    client.dele(1)
    client.close()
    assert len(log_in_and_list(port)) == len(mailbox.messages) == 3


def test_reset_brings_deleted_messages_back(client: poplib.POP3) -> None:
    client.dele(1)
    client.rset()
    assert client.stat()[0] == 3


def log_in_and_list(port: int) -> list[bytes]:
    client = log_in(port)
    listed = client.list()[1]
    client.quit()
    return listed
