from __future__ import annotations

import errno
import os
import pwd
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path, PurePath

import pytest

from mailworker.log.opening import give_log, open_log
from tests.support.daemon import wait_until

RACE = 0.7  # seconds
EXCHANGE = """
import os, sys
path, *links = sys.argv[1:]
while True:
    for link in links:
        os.link(link, path + ".new", follow_symlinks=False)
        os.rename(path + ".new", path)
"""
NOBODY = pwd.getpwnam("nobody")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of others")


def write(path: Path, text: bytes = b"line\n") -> None:
    descriptor = open_log(path)
    try:
        os.write(descriptor, text)
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def link(path: Path, target: Path | str, owner: int = 0) -> Path:
    path.symlink_to(target)
    if owner:
        os.chown(path, owner, -1, follow_symlinks=False)
    return path


@pytest.mark.parametrize("form", ["{}/a/log", "{}/a/../b/log", "{}/./b//log", "{}/a/link", "{}/link/log", "{}/chain"])
def test_links_of_ours_lead_on(tmp_path: Path, form: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    link(tmp_path / "a" / "link", "../b/./log")
    link(tmp_path / "link", tmp_path / "b")
    link(tmp_path / "other", "link/log")
    link(tmp_path / "chain", "a/../other")
    for _ in range(2):
        write(Path(form.format(tmp_path)))
    logs = [path for path in tmp_path.glob("*/log") if not path.parent.is_symlink()]
    assert [path.read_bytes() for path in logs] == [b"line\nline\n"]


def test_a_relative_path_begins_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("log"))
    assert (tmp_path / "log").read_bytes() == b"line\n"


@needs_root
@pytest.mark.parametrize("form", ["{}/last", "{}/folder/log"])
def test_links_of_others_are_refused(tmp_path: Path, form: str) -> None:
    (tmp_path / "mine").mkdir()
    link(tmp_path / "last", tmp_path / "mine" / "log", NOBODY.pw_uid)
    link(tmp_path / "folder", tmp_path / "mine", NOBODY.pw_uid)
    with pytest.raises(OSError, match="symbolic links") as refused:
        open_log(Path(form.format(tmp_path)))
    assert refused.value.errno == errno.ELOOP
    assert list((tmp_path / "mine").iterdir()) == []


@needs_root
@pytest.mark.parametrize("name", ["link", "folder/log"])
def test_a_link_that_is_exchanged_meanwhile_is_not_followed(tmp_path: Path, name: str) -> None:
    """Whoever may write to the folder of root's link puts one of his own there, and root's back, without a pause."""
    for folder in ("good", "evil"):
        (tmp_path / folder).mkdir()
    links = [
        link(tmp_path / f"{kind}-{what}", tmp_path / kind / end, owner)
        for kind, owner in (("good", 0), ("evil", NOBODY.pw_uid))
        for what, end in (("link", "log"), ("folder", ""))
    ]
    path, exchanged = tmp_path / name, tmp_path / PurePath(name).parts[0]
    pairs = [str(path) for path in links if path.name.endswith(exchanged.name)]
    with subprocess.Popen([sys.executable, "-c", EXCHANGE, str(exchanged), *pairs]) as other:
        try:
            wait_until(exchanged.is_symlink, "the first exchange")
            refused, written = 0, 0
            end = time.monotonic() + RACE
            while time.monotonic() < end or not (refused and written):  # one process may get no processor that long
                try:
                    write(path)
                    written += 1
                except OSError as error:
                    assert error.errno == errno.ELOOP
                    refused += 1
        finally:
            other.kill()
    assert (tmp_path / "good" / "log").read_bytes() == b"line\n" * written
    assert not (tmp_path / "evil" / "log").exists()


@needs_root
@pytest.mark.parametrize(("owner", "followed"), [(0, True), (NOBODY.pw_uid, True), (1, False)])
def test_who_is_not_root_follows_links_of_his_own_and_of_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, followed: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    write(tmp_path / "log")
    path = link(tmp_path / "link", "log", owner)
    if followed:
        write(path)
    else:
        with pytest.raises(OSError, match="symbolic links"):
            open_log(path)
    assert (tmp_path / "log").read_bytes() == b"line\n" * (1 + followed)


@pytest.mark.parametrize("user", [os.geteuid(), NOBODY.pw_uid])
def test_only_the_owner_may_write_to_a_new_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    before = os.umask(0)
    try:
        write(tmp_path / "log")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o644


def test_as_many_links_are_followed_as_the_system_follows(tmp_path: Path) -> None:
    link(tmp_path / "1", "log")
    for number in range(2, 42):
        link(tmp_path / str(number), str(number - 1))
    write(tmp_path / "40")
    assert (tmp_path / "40").read_bytes() == b"line\n"
    for follow in (open_log, Path.read_bytes):
        with pytest.raises(OSError, match="symbolic links"):
            follow(tmp_path / "41")


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    link(tmp_path / "a", "b")
    link(tmp_path / "b", "a")
    with pytest.raises(OSError, match="symbolic links"):
        open_log(tmp_path / "a")


@pytest.mark.parametrize(
    ("path", "number"), [("/", errno.EISDIR), ("/nonexistent/log", errno.ENOENT), ("/etc/passwd/log", errno.ENOTDIR)]
)
def test_what_cannot_be_opened_is_named_by_its_error(path: str, number: int) -> None:
    with pytest.raises(OSError, match="directory") as failed:
        open_log(Path(path))
    assert failed.value.errno == number


def test_a_link_to_an_open_file_leads_to_it(tmp_path: Path) -> None:
    """As /dev/stderr and /dev/stdout do, which images of containers link their logs to."""
    reading, writing = os.pipe()
    with closing(os.fdopen(reading, "rb")) as pipe:
        write(link(tmp_path / "error.log", f"/proc/self/fd/{writing}"))
        os.close(writing)
        assert pipe.read() == b"line\n"


def test_nothing_is_left_open(tmp_path: Path) -> None:
    link(tmp_path / "link", "log")
    before = len(list(Path("/proc/self/fd").iterdir()))
    write(tmp_path / "link")
    with pytest.raises(OSError, match="No such"):
        open_log(tmp_path / "absent" / "log")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@needs_root
def test_only_a_file_with_one_name_is_given_away(tmp_path: Path) -> None:
    """Where the system lets others link files that are not theirs (fs.protected_hardlinks=0)."""
    path = tmp_path / "log"
    write(path)
    for names, owner in ((1, NOBODY.pw_uid), (2, 0)):
        descriptor = open_log(path)
        os.fchown(descriptor, 0, -1)
        if names == 2:
            (tmp_path / "other").hardlink_to(path)
        give_log(descriptor, NOBODY.pw_uid)
        os.close(descriptor)
        assert path.stat().st_uid == owner


@needs_root
def test_what_is_no_file_is_not_given_away(tmp_path: Path) -> None:
    """Such as /dev/null, which all would lose."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with closing(os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")):
        descriptor = open_log(path)
        give_log(descriptor, NOBODY.pw_uid)
        os.close(descriptor)
    assert path.stat().st_uid == 0
