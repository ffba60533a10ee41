from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailworker.tls.folder_files import LONGEST, Unusable, Walk, read


def walk(folder: Path) -> Walk:
    return Walk(str(folder), lambda names: names)


def found(folder: Path) -> list[str]:
    return sorted(file.path.removeprefix(f"{folder}/") for files in walk(folder).files.values() for file in files)


def test_files_of_all_folders_are_found_by_their_suffixes(tmp_path: Path) -> None:
    for name in ("a.pem", "b/c.crt", "b/d/e.key", "f.cer", "README", "g.csr", ".hidden.pem", ".h/i.pem", "b/..x/j.pem"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == ["a.pem", "b/c.crt", "b/d/e.key", "f.cer"]


def test_links_lead_to_files_and_folders(tmp_path: Path) -> None:
    live, archive = tmp_path / "live", tmp_path / "archive"
    (live / "a").mkdir(parents=True)
    (archive / "a").mkdir(parents=True)
    (archive / "a/cert1.pem").write_text("content")
    (live / "a/cert.pem").symlink_to("../../archive/a/cert1.pem")
    (live / "absolute.pem").symlink_to(archive / "a/cert1.pem")
    (live / "folder").symlink_to("../archive/a")
    (live / "up").symlink_to("..")
    (live / "gone.pem").symlink_to("nowhere")
    seen = walk(live)
    real = {file.path.removeprefix(f"{live}/"): file.real for files in seen.files.values() for file in files}
    target = str(archive / "a/cert1.pem")
    assert {name: real.get(name) for name in ("a/cert.pem", "absolute.pem", "folder/cert1.pem")} == dict.fromkeys(
        ("a/cert.pem", "absolute.pem", "folder/cert1.pem"), target
    )
    assert str(archive / "a") in seen.folders
    assert seen.faults == {f"{live}/gone.pem": "is a link to a file that does not exist"}


@pytest.mark.parametrize("planted", ["link", "target", "way"])
def test_what_another_user_may_have_planted_is_left_out(tmp_path: Path, planted: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root, way = tmp_path / "certs", tmp_path / "way"
    root.mkdir()
    way.mkdir()
    (way / "key").write_text("a secret")
    (root / "a.pem").symlink_to(way / "key")
    assert found(root) == ["a.pem"]
    other = {"link": root / "a.pem", "target": way / "key", "way": way}[planted]
    os.lchown(other, 1234, 1234)
    seen = walk(root)
    assert seen.files == {}
    assert seen.faults == {
        f"{root}/a.pem": f'is a link through "{other}", which belongs to user 1234'
    }  # fmt: skip


def test_the_folders_owner_may_lay_links(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path / "certs"
    root.mkdir()
    (root / "target").touch()
    (root / "a.pem").symlink_to("target")
    for path in (root, root / "target", root / "a.pem"):
        os.lchown(path, 1234, 1234)
    assert found(root) == ["a.pem"]


def test_what_is_no_certificate_by_its_kind_or_size_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pem")
    with (tmp_path / "huge.pem").open("wb") as huge:
        huge.truncate(10 << 20)
    (tmp_path / "circle.pem").symlink_to("circle.pem")
    (tmp_path / "one.pem").symlink_to("two.pem")
    (tmp_path / "two.pem").symlink_to("one.pem")
    (tmp_path / "null.pem").symlink_to("/dev/null")
    (tmp_path / "circle").symlink_to("circle")
    seen = walk(tmp_path)
    assert seen.files == {}
    assert {path.removeprefix(f"{tmp_path}/"): fault for path, fault in seen.faults.items()} == {
        "fifo.pem": "is not a regular file",
        "huge.pem": "is longer than 1048576 bytes, so it is not a certificate or a key",
        "null.pem": "is not a regular file",
        **dict.fromkeys(("circle", "circle.pem", "one.pem", "two.pem"), "is one of too many links"),
    }


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        walk(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        walk(tmp_path / "file")


def test_what_has_become_something_else_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("content")
    ((file,),) = walk(tmp_path).files.values()
    assert read(file) == b"content"
    (tmp_path / "a.pem").unlink()
    os.mkfifo(tmp_path / "a.pem")
    with pytest.raises(Unusable):
        read(file)
    (tmp_path / "a.pem").unlink()
    (tmp_path / "a.pem").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"):
        read(file)
    (tmp_path / "a.pem").unlink()
    (tmp_path / "a.pem").write_bytes(bytes(LONGEST + 1))
    with pytest.raises(Unusable):
        read(file)
