from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from mailworker.process.system.inotify import Inotify, is_remote


def stirred(inotify: Inotify) -> bool:
    readable, _, _ = select.select([inotify.descriptor], [], [], 0)
    inotify.drain()
    return bool(readable)


def test_a_folder_tells_of_its_entries(tmp_path: Path) -> None:
    inotify = Inotify()
    if inotify.descriptor < 0:
        pytest.skip("no inotify here")
    (tmp_path / "a").mkdir()
    assert inotify.watch(str(tmp_path))
    assert inotify.watch(str(tmp_path))
    assert not inotify.watch(str(tmp_path / "nothing"))
    assert not stirred(inotify)
    steps: tuple[Callable[[], object], ...] = (
        lambda: (tmp_path / "file").write_text("x"),
        lambda: (tmp_path / "file").rename(tmp_path / "other"),
        lambda: (tmp_path / "link").symlink_to("other"),
        (tmp_path / "other").unlink,
        (tmp_path / "a").rmdir,
    )
    for step in steps:
        step()
        assert stirred(inotify)
    os.close(inotify.descriptor)
    inotify.descriptor = -1  # as on a system without inotify
    assert not inotify.watch(str(tmp_path))


def test_a_folder_of_this_system_is_not_remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_remote(str(tmp_path / "nothing"))
    device = tmp_path.stat().st_dev
    number = f"{device >> 8 & 0xFFF}:{device & 0xFF}"
    for kind, remote in (("ext4", False), ("nfs4", True), ("fuse.sshfs", True)):
        mounts = tmp_path / "mounts"
        mounts.write_text(f"1 0 0:1 / /x rw - proc proc rw\n2 1 {number} / /y rw shared:1 - {kind} server rw\n")
        monkeypatch.setattr("mailworker.process.system.inotify._MOUNTS", mounts)
        assert is_remote(str(tmp_path)) is remote
