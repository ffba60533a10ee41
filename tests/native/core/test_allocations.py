"""A session that lacks memory ends alone, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mailworker.native.core import accelerator

if accelerator is None:
    pytest.skip("there is no C", allow_module_level=True)

pytest.importorskip("_testcapi")


WAYS = [("imap", "limited"), ("smtp", "verbose"), ("smtp", "limited", "tls"), ("sieve",), ("sieve", "verbose", "tls")]


@pytest.mark.parametrize("arguments", WAYS, ids=" ".join)
def test_whichever_allocation_of_a_session_fails_nothing_of_it_is_left(arguments: tuple[str, ...]) -> None:
    # A process of its own has no other thread, which could get what is to fail.
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.native.core.allocations", *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *left, last = done.stdout.splitlines()
    assert not left
    assert int(last.split()[0]) > 30
