"""What bash offers for a word that is not finished."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mailworker import cli
from tests.support.process import BINARY

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "install" / "completion" / "mailworker.bash"
LIBRARY = Path("/usr/share/bash-completion/bash_completion")

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="bash-completion is not installed")

ASK = """
set -- "$@"
. "$LIBRARY" && . "$SCRIPT"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
complete_with=$(complete -p "$1" | sed 's/.*-F \\([a-z_]*\\) .*/\\1/')
"$complete_with" "$PROGRAM"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(folder: Path, *words: str, program: str = "true") -> set[str]:
    """What completes the last of `words`; `program` is what the first one starts."""
    environment = {"LIBRARY": str(LIBRARY), "SCRIPT": str(SCRIPT), "PROGRAM": program, "PATH": "/usr/bin:/bin"}
    command = ["bash", "--norc", "-c", ASK, "bash", *words]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_all_switches_are_offered(tmp_path: Path) -> None:
    long = {"--explain", "--help", "--version"}
    assert offered(tmp_path, "mailworker", "-") == {*(f"-{letter}" for letter in "hvVtTqspecg"), *long}
    assert {f"-{letter}" for letter in cli.parse(["-hvVtTq"]).flags} <= offered(tmp_path, "mailworker", "-")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-s", ""), {"stop", "quit", "reopen", "reload"}),
        (("-s", "re"), {"reopen", "reload"}),
        (("-c", ""), {"a.conf", "folder"}),
        (("-p", ""), {"folder"}),
        (("-e", ""), {"a.conf", "b.log", "folder"}),
        (("-g", ""), set()),
    ],
)
def test_the_word_behind_a_switch(tmp_path: Path, words: tuple[str, ...], expected: set[str]) -> None:
    (tmp_path / "a.conf").touch()
    (tmp_path / "b.log").touch()
    (tmp_path / "folder").mkdir()
    assert offered(tmp_path, "mailworker", *words) == expected


def test_names_of_the_configuration_can_be_explained(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {BINARY} "$@"\n')
    program.chmod(0o755)
    names = offered(tmp_path, "mailworker", "--explain", "proxy_t", program=str(program))
    assert "proxy_timeout" in names
    assert all(name.startswith("proxy_t") for name in names)
    variables = offered(tmp_path, "mailworker", "--explain", "remote_user", program=str(program))
    assert variables == {"remote_user", "remote_user_local", "remote_user_domain"}


def test_commands_are_asked_for_their_switches_and_commands(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/bin/mailworker-ctl "$@"\n')
    program.chmod(0o755)
    commands = offered(tmp_path, "mailworker-ctl", "", program=str(program))
    assert {"sessions", "who", "kick", "reload", "reload-status"} <= commands
    assert offered(tmp_path, "mailworker-ctl", "ki", program=str(program)) == {"kick"}
    assert {"--socket", "--version"} <= offered(tmp_path, "mailworker-ctl", "-", program=str(program))
    switches = offered(tmp_path, "mailworker-ctl", "kick", "--r", program=str(program))
    assert switches == {"--reason", "--rate"}
