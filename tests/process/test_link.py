from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailworker.process.link import (
    MOST_QUESTIONS,
    USERS,
    Answer,
    FileUpdate,
    Kick,
    LogLevel,
    Question,
    Receiver,
    answer,
    ask,
    open_link,
    receive_messages,
    report_serving,
    send_channel,
    send_files,
    send_kick,
    send_level,
    send_update,
)
from mailworker.process.system.inherited_state import close_all, foreign_descriptors
from mailworker.shm.sealed import read_sealed, seal
from tests.support.patience import PATIENCE

Link = tuple[socket.socket, socket.socket]


@pytest.fixture
def link() -> Iterator[Link]:
    ends = open_link()
    yield ends
    for end in ends:
        end.close()


def test_files_come_as_they_were_sent(link: Link, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "\udcff\n", "c")]
    sent = {path: os.open(path, os.O_WRONLY | os.O_CREAT) for path in paths}
    assert send_files(link[0], sent)
    assert send_files(link[0], dict.fromkeys(paths[:1], sent[paths[2]]))
    receiver = Receiver(link[1])
    received, again = receiver.take(), receiver.take()
    assert isinstance(received, dict)
    assert isinstance(again, dict)
    assert list(received) == paths
    for path, descriptor in received.items():
        assert os.path.samestat(os.fstat(descriptor), path.stat())
        assert not os.get_inheritable(descriptor)
    assert os.path.samestat(os.fstat(again[paths[0]]), paths[2].stat())
    for descriptor in (*sent.values(), *received.values(), *again.values()):
        os.close(descriptor)


def test_no_files_are_a_message_too(link: Link) -> None:
    receiver = Receiver(link[1])
    assert receiver.take() is None
    assert send_files(link[0], {})
    assert receiver.take() == {}
    assert receiver.take() is None


def open_many(folder: Path, count: int) -> dict[Path, int]:
    return {path: os.open(path, os.O_WRONLY | os.O_CREAT) for path in (folder / str(i) for i in range(count))}


def test_more_files_than_a_message_holds_come_together(link: Link, tmp_path: Path) -> None:
    sent = open_many(tmp_path, 600)
    try:
        assert send_files(link[0], sent)
        receiver = Receiver(link[1])
        assert [receiver.take(), receiver.take()] == [None, None]
        received = receiver.take()
        assert isinstance(received, dict)
        for path, descriptor in received.items():
            assert os.path.samestat(os.fstat(descriptor), path.stat())
        close_all(received.values())
        assert list(received) == list(sent)
        assert receiver.take() is None
    finally:
        close_all(sent.values())


def test_files_whose_rest_never_came_are_closed(link: Link, tmp_path: Path) -> None:
    sent = open_many(tmp_path, 300)
    receiver = Receiver(link[1])
    before = foreign_descriptors({})
    try:
        assert send_files(link[0], sent)
        assert receiver.take() is None
        assert receiver._link.recv(1 << 18)  # as if it had not been sent
        assert send_files(link[0], dict(list(sent.items())[-1:]))
        received = receiver.take()
        assert isinstance(received, dict)
        assert list(received) == list(sent)[-1:]
        close_all(received.values())
        assert foreign_descriptors({}) == before
    finally:
        close_all(sent.values())


def test_who_takes_nothing_gets_no_more(link: Link) -> None:
    sent = 0
    while send_files(link[0], {}):
        sent += 1
    assert 0 < sent < 10_000


def test_who_is_gone_gets_nothing(link: Link) -> None:
    link[1].close()
    assert not send_files(link[0], {})


def test_the_master_hears_once_that_a_worker_serves(link: Link) -> None:
    assert receive_messages(link[0]) == ([], False)
    report_serving(link[1])
    assert receive_messages(link[0]) == ([], True)
    assert receive_messages(link[0]) == ([], False)


def test_nobody_is_told_by_a_worker_whose_master_is_gone(link: Link) -> None:
    link[0].close()
    report_serving(link[1])


@pytest.mark.parametrize("path", ["/etc/users", "/\udcff\n", "/" + "x" * 4000])
def test_users_come_with_the_path_of_their_file_between_log_files(link: Link, path: str) -> None:
    descriptor = seal("test", b"content")
    assert send_update(link[0], FileUpdate(USERS, path, descriptor))
    assert send_files(link[0], {})
    os.close(descriptor)
    receiver = Receiver(link[1])
    update, files = receiver.take(), receiver.take()
    assert isinstance(update, FileUpdate)
    assert (update.path, bytes(read_sealed(update.descriptor)), files) == (path, b"content", {})


def test_who_has_no_room_for_a_message_gets_it_later_and_who_is_gone_needs_none(link: Link) -> None:
    descriptor = seal("test", b"content")
    while send_update(link[0], FileUpdate(USERS, "/users", descriptor)):
        pass
    update = Receiver(link[1]).take()
    assert isinstance(update, FileUpdate)
    os.close(update.descriptor)
    assert send_update(link[0], FileUpdate(USERS, "/users", descriptor))
    link[1].close()
    assert send_update(link[0], FileUpdate(USERS, "/users", descriptor))
    assert send_kick(link[0], Kick(((0, "id"),), "why"))
    os.close(descriptor)


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS])
def test_who_is_there_gets_later_what_the_system_refuses_to_send_now(
    monkeypatch: pytest.MonkeyPatch, link: Link, number: int
) -> None:
    """A worker went on with the former users, and a session that was to be ended with its relay."""

    def refuse(*_: object) -> int:
        raise OSError(number, "")

    monkeypatch.setattr(socket.socket, "send", refuse)
    monkeypatch.setattr(socket, "send_fds", refuse)
    assert not send_update(link[0], FileUpdate(USERS, "/users", 0))
    assert not send_kick(link[0], Kick(((0, "id"),), "why"))


def test_a_channel_comes_ready_to_be_used(link: Link) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            assert send_channel(link[0], theirs)
        receiver = Receiver(link[1])
        assert receiver.has_message
        channel = receiver.take()
        assert isinstance(channel, socket.socket)
        with channel:
            assert not channel.getblocking()
            ours.send(b"heard")
            assert channel.recv(10) == b"heard"
        assert not receiver.has_message
        link[1].close()
        assert not send_channel(link[0], ours)


def test_questions_come_with_what_else_is_said(link: Link) -> None:
    report_serving(link[1])
    sent = [Question(7, b"kick", b"1\0002"), Question(8, b"reload", b"")]
    assert all(ask(link[1], question) for question in sent)
    assert receive_messages(link[0]) == (sent, True)
    assert receive_messages(link[0]) == ([], False)


@pytest.mark.parametrize(
    "message",
    [b"", b"question", b"question\0", b"question\0001\0reload", b"question\0x\0reload\0", b"question\0-1\0a\0b",
     b"question\0" + b"9" * 5000 + b"\0a\0b", b"answer\0001\0a\0b", bytes(30000)],
)  # fmt: skip
def test_what_is_no_question_is_passed_over(link: Link, message: bytes) -> None:
    link[1].send(message)
    ask(link[1], Question(1, b"reload", b""))
    assert receive_messages(link[0]) == ([Question(1, b"reload", b"")], False)


def test_a_child_that_asks_all_the_time_is_heard_in_turns(link: Link) -> None:
    link[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    asked = 0
    while ask(link[1], Question(asked, b"a", b"")):
        asked += 1
    heard = 0
    while questions := receive_messages(link[0])[0]:
        assert len(questions) <= MOST_QUESTIONS
        heard += len(questions)
    assert heard == asked > 0


_CALLED = """
import signal
from mailworker.process.link import Question, ask, notify_by_signal, open_link
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
ours, theirs = open_link()
notify_by_signal(ours)
assert signal.SIGIO not in signal.sigpending()
ask(theirs, Question(1, b"reload", b""))
assert signal.sigwaitinfo({signal.SIGIO}).si_pid == 0
"""


def test_a_question_sends_a_signal_to_whom_it_is_for() -> None:
    subprocess.run([sys.executable, "-c", _CALLED], check=True, timeout=PATIENCE)  # our other threads would take it


def test_answers_and_levels_come_where_they_belong(link: Link) -> None:
    receiver = Receiver(link[1])
    assert answer(link[0], 3, b"a\0b")
    assert send_level(link[0], 8)
    assert send_level(link[0], 0)
    assert [receiver.take() for _ in range(3)] == [Answer(3, b"a\0b"), LogLevel(8), LogLevel(0)]


def test_whoever_is_gone_or_full_is_told_nothing(link: Link) -> None:
    while answer(link[0], 1, bytes(1000)):
        continue
    assert not send_level(link[0], 1)
    link[1].close()
    assert not answer(link[0], 1, b"")
