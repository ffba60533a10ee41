import imaplib
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.threads import blockingCallFromThread

from mailworker.demo.imap import ImapFactory
from mailworker.demo.mailbox import Mailbox
from tests.demo.conftest import Serve
from tests.support.patience import PATIENCE


@pytest.fixture
def port(serve: Serve, mailbox: Mailbox) -> int:
    return serve(ImapFactory(mailbox))


@pytest.fixture
def client(port: int) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE) as client:
        client.login("demo", "demo")
        client.select("INBOX")
        yield client


def fetch(client: imaplib.IMAP4, number: int, item: str) -> bytes:
    answer = client.fetch(str(number), f"({item})")[1][0]
    assert isinstance(answer, tuple)
    return answer[1]


def test_messages_are_served_byte_for_byte(client: imaplib.IMAP4, mailbox: Mailbox) -> None:
    for number, message in enumerate(mailbox.messages, 1):
        assert fetch(client, number, "BODY.PEEK[]") == message.content


def test_size_is_that_of_the_content(client: imaplib.IMAP4, mailbox: Mailbox) -> None:
    sizes = [b"%d (RFC822.SIZE %d)" % (n, len(message.content)) for n, message in enumerate(mailbox.messages, 1)]
    assert client.fetch("1:*", "(RFC822.SIZE)")[1] == sizes


def test_one_part_of_a_multipart_can_be_fetched(client: imaplib.IMAP4) -> None:
    assert fetch(client, 3, "BODY.PEEK[2]") == b"One line.\r\n"


def test_structure_and_envelope_are_served(client: imaplib.IMAP4) -> None:
    status, answer = client.fetch("3", "(BODYSTRUCTURE ENVELOPE)")
    assert status == "OK"
    assert b'"A message with an attachment"' in str(answer).encode()
    assert b"note.txt" in str(answer).encode()


def test_chosen_header_fields_are_served(client: imaplib.IMAP4) -> None:
    assert fetch(client, 1, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]").strip() == b"Subject: Welcome to mailworker"


def test_wrong_password_is_refused(port: int) -> None:
    with imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE) as client, pytest.raises(imaplib.IMAP4.error):
        client.login("demo", "wrong")


def test_flags_are_kept_for_the_next_session(client: imaplib.IMAP4, port: int) -> None:
    client.store("2", "+FLAGS", r"(\Seen \Flagged)")
    client.store("2", "-FLAGS", r"(\Seen)")
    with imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE) as other:
        other.login("demo", "demo")
        other.select("INBOX")
        assert other.fetch("2", "(FLAGS)")[1] == [rb"2 (FLAGS (\Flagged))"]


def test_expunge_removes_what_is_marked(client: imaplib.IMAP4, mailbox: Mailbox) -> None:
    uids = [message.uid for message in mailbox.messages]
    client.store("1,2", "+FLAGS", r"(\Deleted)")
    assert client.expunge()[1] == [b"2", b"1"]
    assert [message.uid for message in mailbox.messages] == uids[2:]


def test_uids_select_messages(client: imaplib.IMAP4, mailbox: Mailbox) -> None:
    mailbox.messages[1].flags.add("\\Flagged")
    answer = client.uid("FETCH", "2:*", "(FLAGS)")[1]
    assert answer == [rb"2 (FLAGS (\Flagged) UID 2)", b"3 (FLAGS () UID 3)"]


def test_new_mail_is_announced_to_a_selected_session(client: imaplib.IMAP4, mailbox: Mailbox, reactor: Any) -> None:
    blockingCallFromThread(reactor, mailbox.append, b"Subject: x\r\n\r\n")
    client.noop()
    assert client.untagged_responses["EXISTS"][-1] == b"4"


def test_what_another_session_has_removed_is_there_until_the_folder_is_selected_again(
    client: imaplib.IMAP4, mailbox: Mailbox, reactor: Any
) -> None:
    blockingCallFromThread(reactor, mailbox.remove, mailbox.messages[0])
    assert client.fetch("3", "(UID)")[1] == [b"3 (UID 3)"]
    assert client.select()[1] == [b"2"]


def test_append_adds_a_message(client: imaplib.IMAP4, mailbox: Mailbox) -> None:
    content = b"Subject: appended\r\n\r\nText\r\n"
    client.append("INBOX", r"(\Seen)", "", content)
    assert mailbox.messages[-1].content == content
    assert mailbox.messages[-1].flags == {"\\Seen"}


def test_there_is_no_folder_but_inbox(client: imaplib.IMAP4) -> None:
    assert client.create("Sent")[0] == "NO"
    assert client.delete("INBOX")[0] == "NO"
    listed = client.list()[1]
    assert len(listed) == 1
    assert b'"INBOX"' in str(listed).encode()


def test_status_counts_messages(client: imaplib.IMAP4) -> None:
    answer = client.status("INBOX", "(MESSAGES UNSEEN UIDNEXT)")[1][0]
    assert isinstance(answer, bytes)
    assert b"MESSAGES 3" in answer
    assert b"UNSEEN 3" in answer
    assert b"UIDNEXT 4" in answer


def test_an_empty_mailbox_can_be_selected_and_fetched(serve: Serve) -> None:
    port = serve(ImapFactory(Mailbox()))
    with imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE) as client:
        client.login("demo", "demo")
        assert client.select("INBOX") == ("OK", [b"0"])
        assert client.fetch("1:*", "(FLAGS)") == ("OK", [None])
