import smtplib
from collections.abc import Iterator

import pytest

from mailworker.demo.mailbox import Mailbox
from mailworker.demo.smtp import SmtpFactory
from tests.demo.conftest import Serve
from tests.support.patience import PATIENCE


@pytest.fixture
def client(serve: Serve, mailbox: Mailbox) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", serve(SmtpFactory(mailbox)), "client.example.com", timeout=PATIENCE) as client:
        yield client


def send(client: smtplib.SMTP, text: bytes) -> None:
    client.sendmail("a@example.com", ["anyone@example.com"], text)


def test_a_message_arrives_unchanged_behind_its_trace_line(client: smtplib.SMTP, mailbox: Mailbox) -> None:
    text = b"Subject: dots\r\n\r\n.\r\n..two\r\n\xc3\xa9\r\n"
    send(client, text)
    trace, _, rest = mailbox.messages[-1].content.partition(b"\r\nSubject")
    assert trace.startswith(b"Received: from client.example.com ([127.0.0.1])\r\n\tby localhost")
    assert b"Subject" + rest == text


def test_xclient_changes_the_client_and_starts_anew(client: smtplib.SMTP, mailbox: Mailbox) -> None:
    client.ehlo()
    assert client.docmd("XCLIENT", "ADDR=192.0.2.1 LOGIN=demo NAME=[UNAVAILABLE]")[0] == 220
    client.ehlo("other.example.com")
    send(client, b"Subject: x\r\n\r\n")
    assert mailbox.messages[-1].content.startswith(b"Received: from other.example.com ([192.0.2.1]) (login demo)\r\n")


def test_xclient_ends_a_transaction(client: smtplib.SMTP) -> None:
    client.ehlo()
    client.mail("a@example.com")
    client.rcpt("anyone@example.com")
    assert client.docmd("XCLIENT", "ADDR=192.0.2.1")[0] == 220
    client.rcpt("anyone@example.com")
    assert client.docmd("DATA")[0] == 503
    client.mail("a@example.com")
    assert client.docmd("DATA")[0] == 503


@pytest.mark.parametrize("attributes", ["", "ADDR", "ADDR=", "COLOUR=red"])
def test_bad_xclient_is_refused(client: smtplib.SMTP, attributes: str) -> None:
    client.ehlo()
    assert client.docmd("XCLIENT", attributes)[0] == 501


def test_auth_plain_is_taken_with_the_right_password_alone(client: smtplib.SMTP, mailbox: Mailbox) -> None:
    client.ehlo("other.example.com")
    assert client.esmtp_features["auth"].split() == ["PLAIN"]
    for response in ("AGRlbW8Ad3Jvbmc=", "!", "eA=="):
        assert client.docmd("AUTH", f"PLAIN {response}")[0] == 535
    for mechanism in ("PLAIN", "LOGIN ZGVtbw==", ""):
        assert client.docmd("AUTH", mechanism)[0] == 504
    assert client.docmd("AUTH", "PLAIN AGRlbW8AZGVtbw==")[0] == 235
    send(client, b"Subject: x\r\n\r\n")
    assert b"(login demo)" in mailbox.messages[-1].content


def test_xclient_is_announced(client: smtplib.SMTP) -> None:
    client.ehlo()
    assert client.esmtp_features["xclient"].split() == ["NAME", "ADDR", "LOGIN"]
