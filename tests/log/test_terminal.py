from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailworker.log.terminal import put_out, tell
from tests.support.patience import PATIENCE

BUFFERED = {**os.environ, "PYTHONUNBUFFERED": ""}

_PUT_OUT = """
import sys
from mailworker.errors import StartError
from mailworker.log.terminal import put_out
try:
    put_out(b"x" * int(sys.argv[1]))
except StartError as error:
    raise SystemExit(str(error))
"""


def test_every_line_is_shown_as_it_is_but_for_what_nobody_sees(capsys: pytest.CaptureFixture[str]) -> None:
    tell("one\ttwo", "", "“three”")
    assert capsys.readouterr().err == "one\\x09two\n\n“three”\n"


def test_data_go_to_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    put_out(b"caf\xe9\n")
    assert capfdbinary.readouterr().out == b"caf\xe9\n"


@pytest.mark.parametrize("size", [10, 1_000_000])  # the buffer holds the first
def test_a_full_disk_is_told_of_and_a_reader_that_left_is_not(size: int) -> None:
    command = [sys.executable, "-c", _PUT_OUT, str(size)]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False, env=BUFFERED
        )
    message = b"write() to stdout failed (28: No space left on device)\n"
    assert (ended.returncode, ended.stderr) == (1, message)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as left:
        ended = subprocess.run(
            command, stdout=left, stderr=subprocess.PIPE, timeout=PATIENCE, check=False, env=BUFFERED
        )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_stderr_that_takes_nothing_is_no_error() -> None:
    command = [sys.executable, "-c", "from mailworker.log.terminal import tell; tell('a', 'b'); print('goes on')"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=full, timeout=PATIENCE, check=False, env=BUFFERED
        )
    assert (ended.returncode, ended.stdout) == (0, b"goes on\n")
