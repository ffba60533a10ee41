from __future__ import annotations

import pytest

from mailworker.demo.account import PASSWORD, USER, accepts


@pytest.mark.parametrize(
    ("user", "password", "accepted"),
    [
        (USER, PASSWORD, True),
        (USER, b"wrong", False),
        (b"somebody", PASSWORD, False),
        (USER, b"", False),
    ],
)
def test_the_one_user_logs_in_by_the_one_password(user: bytes, password: bytes, accepted: bool) -> None:
    assert accepts(user, password) is accepted
