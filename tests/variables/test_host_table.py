from __future__ import annotations

import pytest

from mailworker.variables.host_table import is_host, mask
from tests.variables.hosts import hosts


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


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"a.b", 1), (b"x.a.b", 2), (b"y.x.a.b", 2), (b"b", None), (b"dot", 3), (b"a.dot", 3), (b"www.a.org", 4),
        (b"www.a.b.org", 5), (b"www", None), (b"", None), (b"." * 100, None),
    ],
)  # fmt: skip
def test_names_come_first_then_the_longest_mask_before_and_then_behind(name: bytes, found: int | None) -> None:
    assert hosts({"a.b": 1, "*.a.b": 2, ".dot": 3, "www.a.*": 4, "www.a.b.*": 5}).find(name) == found


def test_a_mask_as_a_mere_name_is_no_mask() -> None:
    table = hosts({"b": 1})
    assert table.add_name(b"*.a", 2)
    assert (table.has_masks, table.find(b"b.a"), table.find(b"*.a")) == (False, None, 2)


def test_a_name_that_nginx_has_noted_stays_taken() -> None:
    table = hosts({"*.a": 1})
    assert [table.add(key, 2) for key in (b".a", b"a", b".a")] == [False, False, False]
    assert table.find(b"a") is None
