from __future__ import annotations

import socket

from mailworker.process.certificate_folders import CertificateFolders
from mailworker.process.link import PAIRS, Found
from mailworker.process.user_files import UserFiles
from mailworker.process.watched_files import WatchedFiles
from mailworker.shm.sealed import seal


def test_there_is_something_to_watch_where_files_or_folders_are_named() -> None:
    watched = WatchedFiles(UserFiles(), CertificateFolders())
    assert not watched
    watched.users.stamps["/users"] = None  # type: ignore[assignment]
    assert not watched


def test_who_leaves_hears_no_more() -> None:
    watched = WatchedFiles(UserFiles(), CertificateFolders())
    watched.link, theirs = socket.socketpair()
    with theirs:
        watched.leave()
        watched.leave()
        assert theirs.recv(1) == b""


def test_what_is_no_longer_watched_is_not_told() -> None:
    watched = WatchedFiles(UserFiles(), CertificateFolders())
    assert watched.adopt(Found(PAIRS, "/gone", seal("test", b"\x80\x04]."))) == ""
