from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from mailworker.tls.folder import find_pairs
from mailworker.tls.folder_scan import FolderScan
from tests.process.tls.folders import put
from tests.support.certificates import CertificateAuthority, PrivateKey, ecdsa_key, rsa_key


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("maker"))


@pytest.fixture(scope="module")
def keys() -> list[PrivateKey]:
    return [ecdsa_key(), rsa_key()]


def scan(folder: Path) -> tuple[FolderScan, list[str]]:
    made = FolderScan(str(folder))
    return made, [warning.replace(f"{folder}/", "") for warning in made.load(None) if warning]


def test_exact_names_come_before_wildcards_of_one_label(
    tmp_path: Path, maker: CertificateAuthority, keys: list[PrivateKey]
) -> None:
    put(maker.issue_server("1", keys[0], ("A.example", "*.a.example", "192.0.2.1")), tmp_path, "1.pem")
    put(maker.issue_server("2", keys[0], ("b.a.example",)), tmp_path, "2.pem")
    folder = scan(tmp_path)[0].folder

    def found(name: bytes) -> list[str]:
        return [pair.path.rpartition("/")[2] for pair in find_pairs([folder], name)]

    names = (b"a.example", b"b.a.example", b"c.a.example", b"d.c.a.example", b"192.0.2.1", b"example", b"", b".")
    assert [found(name) for name in names] == [["1.pem"], ["2.pem"], ["1.pem"], [], [], [], [], []]


def test_a_name_may_have_a_pair_of_each_kind(
    tmp_path: Path, maker: CertificateAuthority, keys: list[PrivateKey]
) -> None:
    for number, key in enumerate(keys):
        put(maker.issue_server(str(number), key, ("a.example",)), tmp_path, f"{number}.pem")
    made, warnings = scan(tmp_path)
    assert (len(find_pairs([made.folder], b"a.example")), warnings) == (2, [])


def test_of_two_of_a_kind_the_one_that_became_valid_last_counts(
    tmp_path: Path, maker: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, keys: list[PrivateKey]
) -> None:
    put(maker.issue_server("new", keys[0], ("a.example", "b.example")), tmp_path, "new.pem")
    monkeypatch.setattr("tests.support.certificates.VALIDITY", timedelta(days=20))  # it begins earlier, and ends later
    put(maker.issue_client("old", keys[0], "a.example", validity=timedelta(days=90)), tmp_path, "old.pem")
    made, warnings = scan(tmp_path)
    (pair,) = find_pairs([made.folder], b"a.example")
    assert pair.path.endswith("/new.pem")
    assert warnings == ['"old.pem" is not used for "a.example": "new.pem" became valid later']


@pytest.mark.parametrize(("begins", "ends"), [(-1, -1), (1, 9)])
def test_one_that_is_valid_now_precedes_those_that_became_valid_later(
    tmp_path: Path,
    maker: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
    keys: list[PrivateKey],
    begins: int,
    ends: int,
) -> None:
    put(maker.issue_server("valid", keys[0], ("a.example",)), tmp_path, "valid.pem")
    monkeypatch.setattr("tests.support.certificates.VALIDITY", timedelta(days=-begins))
    put(
        maker.issue_server("other", keys[0], ("a.example",), validity=timedelta(days=ends, hours=1)),
        tmp_path,
        "other.pem",
    )
    made, warnings = scan(tmp_path)
    (pair,) = find_pairs([made.folder], b"a.example")
    assert pair.path.endswith("/valid.pem")
    assert warnings == ['"other.pem" is not used for "a.example": "valid.pem" is valid now']


def test_one_certificate_found_twice_is_no_double(
    tmp_path: Path, maker: CertificateAuthority, keys: list[PrivateKey]
) -> None:
    pair = maker.issue_server("a", keys[0], ("a.example",))
    put(pair, tmp_path, "1.pem")
    put(pair, tmp_path, "2.pem")
    assert scan(tmp_path)[1] == []


def test_a_certificate_that_names_no_host_is_left_out(
    tmp_path: Path, maker: CertificateAuthority, keys: list[PrivateKey]
) -> None:
    put(maker.issue_client("A person", keys[0], "A person"), tmp_path, "1.pem")
    made, warnings = scan(tmp_path)
    assert (len(made.folder), warnings) == (0, ['"1.pem" names no host'])


def test_pairs_may_be_renewed_while_they_are_listed(
    tmp_path: Path, maker: CertificateAuthority, keys: list[PrivateKey]
) -> None:
    for name in ("a", "b", "c"):
        put(maker.issue_server(name, keys[0], (f"{name}.example",)), tmp_path, f"{name}.pem")
    folder = scan(tmp_path)[0].folder
    listed = iter(folder)
    first = next(listed)
    unit = first.path.removesuffix(".pem")
    folder.put(unit, folder.unit(unit))
    assert sorted(pair.path[-5:] for pair in (first, *listed)) == ["a.pem", "b.pem", "c.pem"]


def test_names_go_with_their_units(tmp_path: Path, maker: CertificateAuthority, keys: list[PrivateKey]) -> None:
    for name in ("a", "b"):
        put(maker.issue_server(name, keys[0], (f"{name}.example", "both.example")), tmp_path, f"{name}.pem")
    folder = scan(tmp_path)[0].folder
    assert b"a.example" in folder
    folder.put(f"{tmp_path}/a", ())
    assert b"a.example" not in folder
    assert [pair.path[-5:] for pair in folder.find(b"both.example")] == ["b.pem"]
    folder.put(f"{tmp_path}/b", ())
    assert list(folder) == []


def test_certificates_are_counted_by_their_states_and_unused_ones_end_nothing(
    tmp_path: Path, maker: CertificateAuthority, keys: list[PrivateKey]
) -> None:
    assert scan(tmp_path)[0].folder.states(time.time()) == ({"valid": 0, "due": 0, "invalid": 0, "unused": 0}, None)
    lives = {"valid": 60.0, "other": 60.0, "due": 0.25, "invalid": -1.0, "unused": -1.5}  # days, after two days before
    for name, days in lives.items():
        host = "valid.example" if name == "unused" else f"{name}.example"
        put(maker.issue_client(name, keys[0], host, validity=timedelta(days=days)), tmp_path, f"{name}.pem")
    folder = scan(tmp_path)[0].folder
    (ended,) = folder.find(b"invalid.example")
    states = {"valid": 2, "due": 1, "invalid": 1, "unused": 1}
    assert folder.states(time.time()) == (states, ended.ends)
    assert folder.states(ended.begins - 86400.0)[0] == {"valid": 0, "due": 0, "invalid": 4, "unused": 1}
