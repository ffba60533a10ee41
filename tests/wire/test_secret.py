"""A secret is never printed by accident."""

from __future__ import annotations

import pytest

from mailworker.wire.secret import Secret


def test_no_text_form_shows_the_value() -> None:
    secret = Secret(b"hunter2")
    assert {repr(secret), str(secret), f"{secret}", f"{secret!r}"} == {"Secret(...)"}
    assert "hunter2" not in repr((secret, {"password": secret}))


def test_revealed_is_the_value() -> None:
    assert Secret(b"hunter2\0\xff").revealed == b"hunter2\0\xff"


def test_equal_only_to_a_secret_of_the_same_value() -> None:
    assert Secret(b"x") == Secret(b"x")
    assert Secret(b"x") != Secret(b"y")
    assert Secret(b"x") != b"x"


def test_false_when_empty() -> None:
    assert not Secret(b"")
    assert Secret(b"\0")


def test_cannot_be_hashed() -> None:
    with pytest.raises(TypeError):
        hash(Secret(b"x"))
