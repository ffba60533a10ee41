from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.glob import glob, has_magic

FILES = ("a.conf", "B.conf", "b.conf", ".h.conf", "[x].conf", "-.conf", "1.conf", "sub/a.conf", "sub/b.txt", "z")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.conf", ["-.conf", "1.conf", "B.conf", "[x].conf", "a.conf", "b.conf"]),
        ("?", ["z"]),
        (".*.conf", [".h.conf"]),
        ("[ab].conf", ["a.conf", "b.conf"]),
        ("[!ab].conf", ["-.conf", "1.conf", "B.conf"]),
        ("[^a-b].conf", ["-.conf", "1.conf", "B.conf"]),
        ("[[:digit:]-].conf", ["-.conf", "1.conf"]),
        ("[![:lower:]].conf", ["-.conf", "1.conf", "B.conf"]),
        ("[[:nosuch:]].conf", []),
        ("\\[x\\].con?", ["[x].conf"]),
        ("[[]x].conf", ["[x].conf"]),
        ("[x].conf", []),
        ("[x.*", []),
        ("[ab][.]conf", ["a.conf", "b.conf"]),
        ("[\\[-\\]]x].conf", ["[x].conf"]),
        ("[z-a].conf", []),
        ("[[:alpha:]", []),
        ("[^]", []),
        ("*\\", []),
        ("*/*.conf", ["sub/a.conf"]),
        ("s*b/b.txt", ["sub/b.txt"]),
        ("*/nosuch", []),
        ("nosuch/*", []),
        ("a.conf", ["a.conf"]),
    ],
)
def test_names_match_as_for_the_c_library(folder: Path, pattern: str, names: list[str]) -> None:
    assert glob(f"{folder}/{pattern}") == [f"{folder}/{name}" for name in names]


def test_a_mask_holds_one_of_three_characters() -> None:
    assert [word for word in ("a*", "a?", "a[", "a]", "a\\", "a") if has_magic(word)] == ["a*", "a?", "a["]
