from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailworker.config.source import UserFileSettings
from mailworker.errors import ConfigError
from mailworker.mail.authentication.user_table import build
from mailworker.model import Level
from mailworker.process.steps import at_once
from mailworker.process.user_files import Stamp, UserFiles, stamp
from mailworker.shm.sealed import seal
from tests.support.settings import mail_server


def read(*paths: Path, earlier: UserFiles | None = None) -> tuple[UserFiles, list[tuple[Level, str]]]:
    told: list[tuple[Level, str]] = []
    sources = [*(UserFileSettings(str(path)) for path in paths), mail_server("imap").source]
    return at_once(UserFiles.read(sources, lambda level, message: told.append((level, message)), earlier)), told


def content(text: bytes) -> bytes:
    return at_once(build(text, lambda level, line, reason: None))


def test_servers_with_the_same_file_share_its_users(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("anna:{PLAIN}a\nbroken:{HMAC}x\n")
    second.write_text("berta:{PLAIN}b\n")
    files, told = read(first, second, first)
    assert {Path(path).name: files.count(path) for path in files.users} == {"first": 1, "second": 1}
    assert told == [(Level.ERROR, f'unknown password scheme "HMAC" in {first}:2')]
    users = files.of(UserFileSettings(str(first)))
    assert users is files.users[str(first)]
    assert files.of(mail_server("imap").source) is None


def test_users_of_a_file_with_the_same_content_are_taken_from_an_earlier_cycle(tmp_path: Path) -> None:
    same, other, new = (tmp_path / name for name in ("same", "other", "new"))
    for path in (same, other, new):
        path.write_text("anna:{PLAIN}a\nbroken:{HMAC}x\n")
    earlier, told = read(same, other)
    assert len(told) == 2
    other.write_text("berta:{PLAIN}a\nbroken:{HMAC}x\n")
    later, told = read(same, other, new, earlier=earlier)
    assert later.users[str(same)].table is earlier.users[str(same)].table
    assert later.users[str(same)] is not earlier.users[str(same)]  # each follows its own cycle's changes
    assert later.users[str(other)].table.find(b"berta") is not None
    assert sorted(text for _, text in told) == [f'unknown password scheme "HMAC" in {path}:2' for path in (new, other)]


@pytest.mark.parametrize(("name", "reason"), [("nowhere", "2: No such file or directory"), (".", "21: Is a directory")])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, reason: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / name)
    assert str(caught.value) == f'open() "{tmp_path / name}" failed ({reason})'
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_users_of_a_file_that_has_changed_take_the_place_of_those_before(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("anna:{PLAIN}a\n")
    files, _ = read(path)
    users = files.users[str(path)]
    assert files.adopt(str(path), seal("test", content(b"berta:{PLAIN}b\n")))
    assert users.table.find(b"anna") is None
    assert users.table.find(b"berta") is not None
    descriptor = seal("test", content(b"carla:{PLAIN}c\n"))
    assert not files.adopt(str(tmp_path / "of another cycle"), descriptor)
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_a_stamp_is_another_one_when_the_content_is(tmp_path: Path) -> None:
    path = tmp_path / "users"
    assert stamp(str(path)) == Stamp()
    path.write_text("a")
    first = stamp(str(path))
    assert stamp(str(path)) == first != Stamp()
    path.write_text("ab")
    second = stamp(str(path))
    assert second != first
    (tmp_path / "new").write_text("ab")
    (tmp_path / "new").rename(path)
    assert stamp(str(path)) not in (first, second)
