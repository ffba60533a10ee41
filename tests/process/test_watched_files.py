from __future__ import annotations

import os
import pickle

import pytest

from mailworker.mail.authentication.user_file import Users
from mailworker.mail.authentication.user_table import UserTable, build
from mailworker.process.certificate_folders import CertificateFolders
from mailworker.process.link import PAIRS, USERS, FileUpdate
from mailworker.process.steps import at_once
from mailworker.process.user_files import UserFiles
from mailworker.process.watched_files import WatchedFiles
from mailworker.shm.sealed import seal
from mailworker.tls.folder_scan import Change, FolderScan


def built(text: bytes) -> bytes:
    return at_once(build(text, lambda level, line, reason: None))


def test_there_is_something_to_watch_where_files_or_folders_are_named() -> None:
    watched = WatchedFiles(UserFiles(), CertificateFolders())
    assert not watched
    watched.users.users["/users"] = Users("/users", UserTable(built(b"")))
    assert watched
    watched.users.users.clear()
    watched.folders.scans["/certs"] = FolderScan("/certs")
    assert watched


def test_users_that_have_changed_are_counted() -> None:
    watched = WatchedFiles(UserFiles(), CertificateFolders())
    watched.users.users["/users"] = Users("/users", UserTable(built(b"")))
    update = FileUpdate(USERS, "/users", seal("test", built(b"anna:{PLAIN}a\nbert:{PLAIN}b\n")))
    assert watched.adopt(update) == 'user file "/users" has changed, 2 users'


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (PAIRS, pickle.dumps([])),
        (PAIRS, pickle.dumps([Change("/unknown/a.pem", None, (), (), {})])),
        (USERS, built(b"anna:{PLAIN}a\n")),
    ],
)
def test_what_another_cycle_watches_is_not_told(kind: bytes, content: bytes) -> None:
    """Workers of a former cycle are sent what the present one has."""
    watched = WatchedFiles(UserFiles(), CertificateFolders())
    descriptor = seal("test", content)
    assert watched.adopt(FileUpdate(kind, "/unknown", descriptor)) == ""
    with pytest.raises(OSError):
        os.fstat(descriptor)
