from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mailworker.process.system.reserve import Reserve


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_reserve_is_open_but_within_its_block() -> None:
    before, reserve = opened(), Reserve(3)
    assert opened() == before
    reserve.fill()
    assert opened() == before + 3
    with reserve:
        assert opened() == before
    assert opened() == before + 3
    reserve.close()
    assert opened() == before


def test_what_it_could_not_hold_it_holds_later(monkeypatch: pytest.MonkeyPatch) -> None:
    before, reserve = opened(), Reserve(2)

    def refuse(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as refusing:
        refusing.setattr(os, "dup", refuse)
        reserve.fill()
    assert opened() == before
    with reserve:
        pass
    assert opened() == before + 2
    reserve.close()
