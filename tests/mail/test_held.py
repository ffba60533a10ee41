from __future__ import annotations

from mailworker.mail.held import Held


def test_only_so_many_sessions_are_held_back() -> None:
    held = Held(2)
    with held:
        assert not held.full
        with held:
            assert held.full
        assert not held.full
    assert held.count == 0
