from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailworker.process.handover.logs import receive_files, send_files
from mailworker.process.link import open_link

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
    received, again = receive_files(link[1]), receive_files(link[1])
    assert received is not None
    assert again is not None
    assert list(received) == paths
    for path, descriptor in received.items():
        assert os.path.samestat(os.fstat(descriptor), path.stat())
        assert not os.get_inheritable(descriptor)
    assert os.path.samestat(os.fstat(again[paths[0]]), paths[2].stat())
    for descriptor in (*sent.values(), *received.values(), *again.values()):
        os.close(descriptor)


def test_no_files_are_a_message_too(link: Link) -> None:
    assert receive_files(link[1]) is None
    assert send_files(link[0], {})
    assert receive_files(link[1]) == {}
    assert receive_files(link[1]) is None


def test_who_takes_nothing_gets_no_more(link: Link) -> None:
    sent = 0
    while send_files(link[0], {}):
        sent += 1
    assert 0 < sent < 10_000


def test_who_is_gone_gets_nothing(link: Link) -> None:
    link[1].close()
    assert not send_files(link[0], {})
