"""Messages that are logged once, and how many are remembered."""

from __future__ import annotations

from mailworker.mail.once import Once


def test_a_thing_is_new_once() -> None:
    once = Once()
    assert [once.is_new(what) for what in ("a", "b", "a", ("a", 1), "b")] == [True, True, False, True, False]


def test_no_more_is_remembered_than_the_limit() -> None:
    once = Once(3)
    assert all(once.is_new(what) for what in range(1000))
    assert [once.is_new(what) for what in (997, 998, 999, 996, 998, 997)] == [False, False, False, True, False, True]
