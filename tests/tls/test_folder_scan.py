from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from mailworker.tls.folder_scan import GRACE, Changes, FolderScan
from tests.process.tls.folders import Certbot, put
from tests.support.certificates import CertificateAuthority, PrivateKey, ecdsa_key


class Site:
    """A folder that is read by two, the first of which tells the other what it finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.scan, self.other = FolderScan(str(folder)), FolderScan(str(folder))
        for scan in (self.scan, self.other):
            assert [text for text in scan.load(None) if text] == []

    def look(self, seconds: float = 0.0) -> Changes:
        self.now += seconds
        found = self.scan.find_changes(self.now)
        for change in found.changes:
            self.other.note(change, [self.other.folder.build(data) for data in change.pairs])
        return found

    def settle(self) -> list[str]:
        """Looks until all is read; gives what was told."""
        told = []
        while True:
            found = self.look(GRACE / 2)
            told += found.texts
            if found.settled:
                return [text.replace(f"{self.folder}/", "") for text in told]

    @property
    def names(self) -> dict[bytes, bytes]:
        """The serial number for each name."""
        found = [
            {name: pair.leaf.serial for pair in each.folder for name in pair.names} for each in (self.scan, self.other)
        ]
        assert found[0] == found[1]
        return found[0]


def test_a_pair_is_read_when_both_of_its_files_are_there_and_still(tmp_path: Path, maker: CertificateAuthority) -> None:
    certbot = Certbot(tmp_path / "etc", maker)
    certbot.issue("a.example")
    site = Site(certbot.live)
    first = site.names
    certbot.issue("a.example")
    certbot.issue("b.example")
    assert site.look() == Changes([], [], False)
    found = site.look()
    assert (len(found.changes), found.texts, found.settled) == (2, [], True)
    assert site.names.keys() == {b"a.example", b"b.example"}
    assert site.names[b"a.example"] != first[b"a.example"]
    assert site.look() == Changes([], [], True)


def test_a_pair_that_is_still_written_is_looked_at_again_whatever_else_was_read(
    tmp_path: Path, maker: CertificateAuthority
) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    site = Site(folder)
    for serial in ("1", "2"):
        put(maker.issue_server(serial, ecdsa_key(), ("a.example",)), folder, "a.pem")
        if serial == "1":
            put(maker.issue_server("b", ecdsa_key(), ("b.example",)), folder, "b.pem")
        assert not site.look().settled
    assert site.names.keys() == {b"b.example"}
    assert site.settle() == []
    assert site.names.keys() == {b"a.example", b"b.example"}


def test_a_key_that_does_not_fit_yet_is_waited_for(tmp_path: Path, maker: CertificateAuthority) -> None:
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), tmp_path / "certs", "a.crt", "a.key")
    site = Site(tmp_path / "certs")
    first, second = site.names, maker.issue_server("2", ecdsa_key(), ("a.example",))
    put(second, tmp_path / "certs", "a.crt", "elsewhere")
    for _ in range(3):
        assert site.look() == Changes([], [], False)
    (tmp_path / "certs/a.key").write_bytes(second.key.read_bytes())
    assert site.settle() == []
    assert site.names != first


def test_what_stays_wrong_keeps_the_old_pair_and_is_told_once(tmp_path: Path, maker: CertificateAuthority) -> None:
    folder = tmp_path / "certs"
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), folder, "a.crt", "a.key")
    site = Site(folder)
    first = site.names
    (folder / "a.crt").write_text("nothing")
    assert site.settle() == ['"a.crt" holds no certificate and no key']
    assert (site.settle(), site.names) == ([], first)
    put(maker.issue_server("2", ecdsa_key(), ("b.example",)), folder, "b.pem")
    (folder / "a.key").unlink()
    (folder / "a.crt").unlink()
    assert (site.settle(), [*site.names]) == ([], [b"b.example"])


def test_a_folder_without_files_where_there_were_some_keeps_all(tmp_path: Path, maker: CertificateAuthority) -> None:
    """As a mount point does while nothing is mounted there."""
    folder = tmp_path / "certs"
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), folder / "a.example", "tls.crt", "tls.key")
    site = Site(folder)
    first = site.names
    folder.rename(tmp_path / "away")
    folder.mkdir()
    (told,) = site.settle()
    assert told == f'"{folder}" has no files any more, its certificates stay as they were'
    assert (site.settle(), site.names) == ([], first)
    for scan in (site.scan, site.other):
        again = FolderScan(str(folder))
        assert [text for text in again.load(scan) if text] == [told]
        assert {name: pair.leaf.serial for pair in again.folder for name in pair.names} == first
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    assert (site.settle(), site.names, site.scan.faults) == ([], first, {})


def test_links_that_lead_to_nothing_keep_all(tmp_path: Path, maker: CertificateAuthority) -> None:
    """As where they lead to a file system that is not mounted."""
    certbot = Certbot(tmp_path / "etc", maker)
    certbot.issue("a.example")
    put(maker.issue_server("b", ecdsa_key(), ("b.example",)), tmp_path / "b", "b.crt", "b.key")
    (certbot.live / "b.example").symlink_to(tmp_path / "b")
    site = Site(certbot.live)
    first = site.names
    for folder in (tmp_path / "etc/archive", tmp_path / "b"):
        folder.rename(f"{folder}.away")
    links = ("a.example/fullchain.pem", "a.example/privkey.pem", "b.example")
    assert sorted(site.settle()) == [f'"{link}" is a link to a file that does not exist' for link in links]
    assert (site.settle(), site.names) == ([], first)
    for folder in (tmp_path / "etc/archive", tmp_path / "b"):
        Path(f"{folder}.away").rename(folder)
    shutil.rmtree(certbot.live / "a.example")
    assert (site.settle(), [*site.names], site.scan.faults) == ([], [b"b.example"], {})


def test_of_many_files_with_one_fault_the_first_are_named(tmp_path: Path, maker: CertificateAuthority) -> None:
    """As where a directory disappears while it is read."""
    folder = tmp_path / "certs"
    folder.mkdir()
    site = Site(folder)
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), folder, "a.pem")
    for number in range(3000):
        (folder / f"{number:04}.pem").touch()
    *first, last = site.settle()
    assert first == [f'"{number:04}.pem" holds no certificate and no key' for number in range(10)]
    assert last == '2990 more files, up to "2999.pem", have the same fault: holds no certificate and no key'
    assert len(site.scan.faults) == 3000


def test_both_know_what_is_wrong_until_it_is_mended(tmp_path: Path, maker: CertificateAuthority) -> None:
    folder = tmp_path / "certs"
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), folder, "a.crt", "a.key")
    site = Site(folder)
    (folder / "a.crt").write_text("nothing")
    (folder / "b.pem").symlink_to("b.pem")
    assert len(site.settle()) == 2
    wrong = {f"{folder}/a.crt": "holds no certificate and no key", f"{folder}/b.pem": "is one of too many links"}
    again = FolderScan(str(folder))
    assert len([text for text in again.load(site.other) if text]) == 2
    assert site.scan.faults == site.other.faults == again.faults == wrong
    put(maker.issue_server("2", ecdsa_key(), ("a.example",)), folder, "a.crt", "a.key")
    (folder / "b.pem").unlink()
    assert site.settle() == []
    assert site.scan.faults == site.other.faults == {}
    site.scan.remove_refused(lambda pair: "is bad")
    assert site.scan.faults == {f"{folder}/a.crt": "is bad"}


def test_a_folder_that_is_gone_keeps_all_and_comes_back(tmp_path: Path, maker: CertificateAuthority) -> None:
    folder = tmp_path / "certs"
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), folder, "a.pem")
    site = Site(folder)
    first = site.names
    folder.rename(tmp_path / "away")
    folder.mkdir()
    assert site.look() == Changes([], [], False)
    folder.rmdir()
    (told,) = site.settle()
    assert told.endswith("could not be read (2: No such file or directory), its certificates stay as they were")
    assert (site.settle(), site.names) == ([], first)
    put(maker.issue_server("2", ecdsa_key(), ("a.example",)), folder, "a.pem")
    assert site.settle() == []
    assert site.names != first
    shutil.rmtree(folder)
    assert len(site.settle()) == 1


def test_names_go_with_their_files(tmp_path: Path, maker: CertificateAuthority) -> None:
    certbot = Certbot(tmp_path / "etc", maker)
    for name in ("a.example", "b.example"):
        certbot.issue(name)
    site = Site(certbot.live)
    shutil.rmtree(certbot.live / "a.example")
    assert site.settle() == []
    assert site.names.keys() == {b"b.example"}


def test_what_was_read_before_is_not_read_again(tmp_path: Path, maker: CertificateAuthority) -> None:
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), tmp_path / "certs", "a.pem")
    site = Site(tmp_path / "certs")
    again = FolderScan(str(tmp_path / "certs"))
    assert [text for text in again.load(site.scan) if text] == []
    assert list(again.folder) == list(site.scan.folder)


def test_a_reload_keeps_what_is_being_renewed_and_reads_again_what_was_wrong(
    tmp_path: Path, maker: CertificateAuthority
) -> None:
    folder = tmp_path / "certs"
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), folder, "a.crt", "a.key")
    site = Site(folder)
    put(maker.issue_server("2", ecdsa_key(), ("a.example",)), folder, "a.crt", "elsewhere")
    half = FolderScan(str(folder))
    assert len([text for text in half.load(site.scan) if text]) == 2
    assert [pair.names for pair in half.folder] == [(b"a.example",)]
    assert len(site.settle()) == 2
    for scan in (site.scan, site.other, half):
        again = FolderScan(str(folder))
        assert len([text for text in again.load(scan) if text]) == 2
        assert list(again.folder) == list(scan.folder)


def test_what_was_refused_may_be_wanted_after_a_reload(tmp_path: Path, maker: CertificateAuthority) -> None:
    folder = tmp_path / "certs"
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), folder, "a.pem")
    site = Site(folder)
    site.scan.remove_refused(lambda pair: "is bad")
    again = FolderScan(str(folder))
    assert [text for text in again.load(site.scan) if text] == []
    assert [pair.names for pair in again.folder] == [(b"a.example",)]


def test_links_that_are_left_out_keep_their_certificates(tmp_path: Path, maker: CertificateAuthority) -> None:
    """As after `chown -R mail /etc/letsencrypt/archive`."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    certbot = Certbot(tmp_path / "etc", maker)
    certbot.issue("a.example")
    certbot.issue("b.example")
    (certbot.live / "c.example").symlink_to(tmp_path / "c")
    put(maker.issue_server("c", ecdsa_key(), ("c.example",)), tmp_path / "c", "c.crt", "c.key")
    site = Site(certbot.live)
    first = site.names
    for path in (tmp_path / "etc/archive/a.example", tmp_path / "etc/archive/b.example/fullchain1.pem", tmp_path / "c"):
        os.chown(path, 1234, 1234)
    assert len(site.settle()) == 5
    assert (site.settle(), site.names) == ([], first)
    again = FolderScan(str(certbot.live))
    assert len([text for text in again.load(site.scan) if text]) == 5
    assert {name for pair in again.folder for name in pair.names} == first.keys()
    for path in (tmp_path / "etc/archive/a.example", tmp_path / "c"):
        os.chown(path, 0, 0)
    shutil.rmtree(certbot.live / "b.example")
    assert site.settle() == []
    assert site.names == {name: serial for name, serial in first.items() if name != b"b.example"}


def test_what_could_not_be_read_is_read_later(
    tmp_path: Path, maker: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "certs"
    put(maker.issue_server("1", ecdsa_key(), ("a.example",)), folder, "a.crt", "a.key")
    site = Site(folder)
    first = site.names
    put(maker.issue_server("2", ecdsa_key(), ("a.example",)), folder, "a.crt", "a.key")
    unread = [str(folder / "a.key")]

    def open_file(path: str, flags: int) -> int:
        if path in unread:
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, flags)

    opened = os.open
    monkeypatch.setattr("mailworker.tls.folder_files.os.open", open_file)
    told = ['"a.key" could not be read (5: Input/output error)', '"a.crt" is a certificate without its key']
    assert site.settle() == told
    assert (site.settle(), site.names) == ([], first)
    unread.clear()
    assert site.settle() == []
    assert site.names != first


def test_what_is_refused_is_left_out_and_told(tmp_path: Path, maker: CertificateAuthority) -> None:
    folder = tmp_path / "certs"
    key: PrivateKey = ecdsa_key()
    put(maker.issue_server("1", key, ("a.example",)), folder, "a.pem")
    site = Site(folder)
    site.scan.check = lambda pair: "is not wanted" if b"b.example" in pair.names else None
    put(maker.issue_server("2", key, ("b.example",)), folder, "b.pem")
    assert site.settle() == ['"b.pem" is not wanted']
    assert site.names.keys() == {b"a.example"}
    assert site.scan.remove_refused(lambda pair: "is bad") == [f'"{folder}/a.pem" is bad']
    assert list(site.scan.folder) == []
