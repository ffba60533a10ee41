"""Mail in by SMTP, out by IMAP and POP3, all of it through the proxy."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.real.clients import Clients, Security
from tests.support.daemon import wait_until
from tests.support.mailbox import Account, make_message, to_wire
from tests.support.postfix import Postfix

pytestmark = pytest.mark.usefixtures("dovecot", "postfix")

CONNECTIONS = 20
LOGINS_EACH = 5
MESSAGES_PER_LOGIN = 10
DELIVERY_TIMEOUT = 90.0


def test_message_sent_wakes_the_idle_reader(clients: Clients, account: Account) -> None:
    message = make_message("wake up")
    with clients.imap(Security.STARTTLS) as reader, clients.smtp(Security.TLS) as sender:
        reader.login(account.login, account.password)
        reader.select()
        reader.send(b"idle IDLE\r\n")
        assert reader.readline().startswith(b"+ ")
        sender.login(account.login, account.password)
        sender.sendmail(account.login, [account.login], to_wire(message))
        assert reader.readline() == b"* 1 EXISTS\r\n"
        assert reader.readline() == b"* 1 RECENT\r\n"
        reader.send(b"DONE\r\n")
        assert reader.readline().startswith(b"idle OK ")
    client = clients.pop3(Security.TLS)
    client.user(account.login)
    client.pass_(account.password)
    body = client.retr(1)[1]
    client.quit()
    assert body[-len(message.splitlines()) :] == message.splitlines()


@pytest.mark.timeout(180)
def test_a_thousand_messages_from_twenty_connections_arrive_once(
    clients: Clients, account: Account, postfix: Postfix
) -> None:
    def send(connection: int) -> list[str]:
        """One client's share; it logs in several times."""
        subjects = [f"{connection}-{number}" for number in range(LOGINS_EACH * MESSAGES_PER_LOGIN)]
        for start in range(0, len(subjects), MESSAGES_PER_LOGIN):
            with clients.smtp(Security.NONE) as client:
                client.login(account.login, account.password)
                for subject in subjects[start : start + MESSAGES_PER_LOGIN]:
                    client.sendmail(account.login, [account.login], to_wire(make_message(subject)))
        return subjects

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        sent = [subject for share in pool.map(send, range(CONNECTIONS)) for subject in share]
    wait_until(postfix.has_empty_queue, "the delivery of all messages", DELIVERY_TIMEOUT)
    received = [message.partition(b"Subject: ")[2].partition(b"\n")[0].decode() for message in account.messages()]
    assert len(sent) == 1000
    assert Counter(received) == Counter(sent)
