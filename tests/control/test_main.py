from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailworker import __version__
from mailworker.control.client import NoAnswer
from mailworker.control.main import main
from tests.control.conftest import Server

BUFFERED = {**os.environ, "PYTHONUNBUFFERED": ""}
SCRIPT = Path(__file__).resolve().parents[2] / "bin" / "mailworker-ctl"


def test_exit_codes_tell_what_came_of_it(scripted: Server, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(scripted([{"ok": True, "level": "info"}], [{"ok": True, "count": 0}], [{"error": "no\x1b"}]).path)
    assert main(["-S", path, "log-level"]) == 0
    assert capsys.readouterr().out == "info\n"
    assert main(["-S", path, "sessions"]) == 1
    assert main(["-S", path, "kick"]) == 2
    assert capsys.readouterr().err == "mailworker-ctl: no\\x1B\n"
    assert main(["-S", f"{path}.none", "sessions"]) == 3
    assert capsys.readouterr().err == (
        f"mailworker-ctl: {path}.none: No such file or directory, "
        f'"control {{ listen unix:{path}.none; }}" in the configuration creates it\n'
    )


@pytest.mark.parametrize(
    "line",
    [
        *("", "nothing", "sessions --nothing", "log-level loud", "kick --rate x", "kick -o x"),
        "kick --older=",  # as of a variable that a script has not set: it must not select all
        *("sessions --limit -1", "sessions --limit 99999999999999999999"),
    ],
)
def test_what_is_not_understood_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert "usage: mailworker-ctl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "seconds"), [("sessions", 30.0), ("kick --all", None), ("reload", None), ("probe-relay", None)]
)
def test_what_may_take_long_has_no_timeout(line: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def client(path: Path, timeout: float | None) -> None:
        asked.append((path, timeout))
        raise NoAnswer

    monkeypatch.setattr("mailworker.control.main.Client", client)
    assert main(["-S", "/socket", *line.split()]) == 3
    assert asked == [(Path("/socket"), seconds)]


def test_the_script_runs_from_the_source_tree(scripted: Server) -> None:
    path = scripted([{"ok": True, "level": "info"}]).path
    ran = subprocess.run([sys.executable, str(SCRIPT), "-S", str(path), "log-level"], capture_output=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"info\n", b"")
    ran = subprocess.run([sys.executable, str(SCRIPT), "--version"], capture_output=True, check=False)
    assert ran.stdout.decode() == f"mailworker-ctl {__version__}\n"


def test_the_help_tells_of_exit_codes_and_gives_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILWORKER_CONTROL", "/run/other")
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "Exit codes: 0 done; 1 nothing matched" in text
    assert "environment variable MAILWORKER_CONTROL, or /run/mailworker/control.sock." in text
    assert "mailworker-ctl kick bob@example.com --reason 'stolen'" in text


def test_a_terminal_without_utf_8_gets_what_it_can_show(scripted: Server) -> None:
    row = {"user": "jürgen€", "proto": "imap", "client": "192.0.2.7:1"}
    path = scripted(
        [{"session": {**row, "id": "1"}}, {"session": {**row, "id": "2", "user": "bob"}}, {"ok": True}]
    ).path
    command = [sys.executable, str(SCRIPT), "-S", str(path), "who"]
    ran = subprocess.run(command, env={"PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True)
    shown = [line.split() for line in ran.stdout.decode("latin-1").splitlines()]
    assert [line[0] for line in shown] == ["username", "bob", "jürgen\\u20ac"]


@pytest.mark.parametrize("rows", [1, 20000])  # the buffer holds the first
def test_a_reader_that_leaves_early_is_no_fault(scripted: Server, rows: int) -> None:
    row = {"id": "x" * 60, "user": "bob", "proto": "imap", "client": "a:1", "server": "in", "upstream": None,
           "state": "login", "age": 5, "idle": 1, "in": 10, "out": 2000}  # fmt: skip
    path = scripted([*[{"session": {**row, "id": str(number)}} for number in range(rows)], {"ok": True}]).path
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as left:
        command = [sys.executable, str(SCRIPT), "-S", str(path), "sessions"]
        ran = subprocess.run(command, stdout=left, stderr=subprocess.PIPE, check=False, env=BUFFERED)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_stdout_that_takes_nothing_is_told_of(scripted: Server) -> None:
    command = [sys.executable, str(SCRIPT), "-S", str(scripted([{"ok": True, "level": "info"}]).path), "log-level"]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=BUFFERED)
    assert ran.returncode == 1
    assert ran.stderr == b"mailworker-ctl: write() to stdout failed: No space left on device\n"
