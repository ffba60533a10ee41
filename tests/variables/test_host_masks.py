from __future__ import annotations

import pytest

from mailworker.variables.host_masks import is_host, mask, prefixes, suffixes


@pytest.mark.parametrize(
    ("key", "fixed"),
    [
        (b"a.example", None), (b"", None), (b".", None), (b"*.", None), (b".*", b"*"),
        (b".a.example", b"a.example"), (b"*.a.example", b"a.example"), (b"www.a.*", b"www.a"),
    ],
)  # fmt: skip
def test_a_mask_has_a_fixed_part(key: bytes, fixed: bytes | None) -> None:
    found = mask(key)
    assert (None if found is None else key[slice(*found)]) == fixed


@pytest.mark.parametrize(
    ("key", "good"),
    [(b"a", True), (b"*.a", True), (b"a.*", True), (b"a*", False), (b"*.a.*", False), (b"a..b", False), (b"\0", False)],
)
def test_stars_stand_at_an_end(key: bytes, good: bool) -> None:
    assert is_host(key) is good


def test_parts_come_longest_first_and_none_is_longer_than_asked() -> None:
    assert list(suffixes(b"a.b.c.d", 5)) == [b"b.c.d", b"c.d", b"d"]
    assert list(suffixes(b"a.b.c.d", 3)) == [b"c.d", b"d"]
    assert list(prefixes(b"a.b.c.d", 5)) == [b"a.b.c", b"a.b", b"a"]
    assert list(prefixes(b"a.b.c.d", 3)) == [b"a.b", b"a"]
