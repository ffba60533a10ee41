from email import message_from_bytes

from mailworker.demo.mailbox import Mailbox, sample_mailbox


def test_samples_are_complete_messages_with_crlf() -> None:
    contents = [message.content for message in sample_mailbox().messages]
    assert len(contents) == 3
    for content in contents:
        assert content.count(b"\n") == content.count(b"\r\n")
        assert not message_from_bytes(content).defects
        assert message_from_bytes(content)["Subject"]


def test_uids_grow_and_are_not_used_again() -> None:
    mailbox = Mailbox()
    first = mailbox.append(b"1")
    mailbox.remove(first)
    assert mailbox.append(b"2").uid == first.uid + 1
    assert mailbox.next_uid == first.uid + 2


def test_a_message_can_be_removed_by_two_sessions() -> None:
    mailbox = Mailbox()
    message = mailbox.append(b"1")
    mailbox.remove(message)
    mailbox.remove(message)
    assert mailbox.messages == []


def test_watchers_hear_of_messages_until_they_stop() -> None:
    mailbox = Mailbox()
    heard: list[int] = []
    stop = mailbox.watch(lambda message: heard.append(message.uid))
    mailbox.append(b"1")
    stop()
    mailbox.append(b"2")
    assert heard == [1]
