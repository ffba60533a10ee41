from __future__ import annotations

import errno
import os

import pytest

from mailworker.errors import StartError
from mailworker.process.system.pipe import open_pipe


def test_what_is_written_to_one_end_is_read_from_the_other() -> None:
    reading, writing = open_pipe()
    os.write(writing, b"ready")
    os.close(writing)
    assert os.read(reading, 10) == b"ready"
    os.close(reading)


def test_a_refusal_of_the_system_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(StartError, match=r"^pipe\(\) failed \(24: Too many open files\)$"):
        open_pipe()
