from __future__ import annotations

import fcntl
import os
import pickle
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailworker.model import Level
from mailworker.process.file_reader import LONGEST, FileReader
from mailworker.process.link import PAIRS, USERS
from mailworker.process.system.inotify import Inotify
from mailworker.process.user_files import stamp
from mailworker.shm.sealed import read_sealed
from mailworker.tls.folder_scan import FolderScan
from mailworker.tls.folder_units import PairData
from tests.process.tls.folders import put
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.patience import PATIENCE

USER = "anna:{PLAIN}x::::::host=127.0.0.1 port=1\n"


@contextmanager
def reading(users: Path, folder: Path) -> Iterator[socket.socket]:
    """A reader at work, and the master's end of its link."""
    scan = FolderScan(str(folder))
    assert [text for text in scan.load(None) if text] == []
    with reading_on(users, scan) as link:
        yield link


@contextmanager
def reading_on(users: Path, scan: FolderScan) -> Iterator[socket.socket]:
    """The same, of a folder that has been read."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE)
    reader = FileReader(theirs, {str(users): stamp(str(users))}, {scan.folder.path: scan})
    thread = threading.Thread(target=reader.run)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join(PATIENCE)
        theirs.close()


def heard(link: socket.socket) -> tuple[bytes, bytes]:
    message, descriptors, _, _ = socket.recv_fds(link, LONGEST, 1)
    return message, bytes(read_sealed(descriptors[0])) if descriptors else b""


@pytest.mark.parametrize("told", [True, False], ids=["inotify", "by time"])
def test_users_and_certificates_are_read_again_when_they_change(
    tmp_path: Path, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not told:
        monkeypatch.setattr(Inotify, "watch", lambda self, folder: False)
    users, folder = tmp_path / "users", tmp_path / "certs"
    users.write_text(USER)
    folder.mkdir()
    (tmp_path / "maker").mkdir()
    maker = CertificateAuthority(tmp_path / "maker")
    with reading(users, folder) as link:
        users.write_text(USER * 2)
        message, content = heard(link)
        assert message == b"%d %b" % (Level.ERROR, message.partition(b" ")[2]) or message.startswith(USERS)
        while not message.startswith(USERS):
            message, content = heard(link)
        assert message == USERS + b"\0" + os.fsencode(users)
        assert content
        put(maker.issue_server("a", ecdsa_key(), ("a.example",)), folder, "a.pem")
        message, content = heard(link)
        assert message == PAIRS + b"\0" + os.fsencode(folder)
        (change,) = pickle.loads(content)
        assert [pair.path for pair in change.pairs] == [f"{folder}/a.pem"]
        (folder / "b.pem").write_text("nothing")
        messages = [heard(link)[0] for _ in range(2)]
        assert b'%d "%b/b.pem" holds no certificate and no key' % (Level.WARN, os.fsencode(folder)) in messages


def test_a_folder_that_is_mounted_again_is_seen_though_nothing_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inotify, "watch", lambda self, folder: True)
    users, folder = tmp_path / "users", tmp_path / "certs"
    users.write_text(USER)
    (tmp_path / "maker").mkdir()
    maker = CertificateAuthority(tmp_path / "maker")
    put(maker.issue_server("a", ecdsa_key(), ("a.example",)), folder, "a.pem")
    scan = FolderScan(str(folder))
    assert [text for text in scan.load(None) if text] == []
    (folder / "a.pem").rename(tmp_path / "a.pem")
    with reading_on(users, scan) as link:
        while b"has no files any more" not in heard(link)[0]:
            pass
        put(maker.issue_server("b", ecdsa_key(), ("b.example",)), folder, "b.pem")
        pairs: list[PairData] = []
        while not pairs:  # at first comes that the folder has no fault any more
            pairs = [pair for change in pickle.loads(heard(link)[1]) for pair in change.pairs]
        assert [pair.path for pair in pairs] == [f"{folder}/b.pem"]


def test_a_reader_of_users_alone_rests_between_its_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = tmp_path / "users"
    users.write_text(USER)
    rests: list[float] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    class Poll:
        """The link is readable at the third call."""

        def register(self, *_: object) -> None: ...

        def poll(self, rest: float) -> list[tuple[int, int]]:
            rests.append(rest)
            return [(theirs.fileno(), select.POLLIN)] if len(rests) == 3 else []

    with ours, theirs:
        reader = FileReader(theirs, {str(users): stamp(str(users))}, {})
        monkeypatch.setattr("select.poll", Poll)
        reader.run()
    assert rests == [1000.0, 1000.0, 1000.0]


def test_the_reader_of_a_master_with_a_thousand_sockets_reads(tmp_path: Path, beyond_select: int) -> None:
    users = tmp_path / "users"
    users.write_text(USER)
    ours, low = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, low, socket.socket(fileno=fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, beyond_select)) as theirs:
        ours.close()
        FileReader(theirs, {str(users): stamp(str(users))}, {}).run()
