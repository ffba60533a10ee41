"""logrotate turns the logs over while clients come, and no line is lost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, Recipe, imap_login
from tests.support.auth import AuthService, rejected
from tests.support.daemon import find_program

SESSIONS = 15


@pytest.fixture
def recipe(run: Run, auth: AuthService, logs: Path) -> Recipe:
    """Refuses each login, and writes to `logs`."""
    auth.prepare(rejected(b"No"))
    changes = {
        "/var/log/mailworker/error.log": "logs/error.log",
        "pid /run/mailworker/mailworker.pid;": "",
        "/var/log/mailworker": str(logs),
        "127.0.0.1:9000": str(auth.address),
    }
    return run("logrotate.md", changes)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    path.chmod(0o755)
    return path


@pytest.fixture
def rotate(recipe: Recipe, logs: Path, tmp_path: Path) -> Callable[[], None]:
    """Run logrotate with the file of the page."""
    text = (RECIPES / "logrotate.conf").read_text(encoding="utf-8")
    pid_file = str(recipe.mailworker.pid_file)
    for documented, meant in (("/var/log/mailworker", str(logs)), ("/run/mailworker/mailworker.pid", pid_file)):
        assert documented in text
        text = text.replace(documented, meant)
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(text)
    configuration.chmod(0o644)
    command = [find_program("logrotate"), "--force", "--state", str(tmp_path / "state"), str(configuration)]

    def rotate() -> None:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr

    return rotate


def test_no_line_is_lost(recipe: Recipe, rotate: Callable[[], None], logs: Path) -> None:
    (logs / "failures.json").write_text("{}\n")  # the log for CrowdSec, as docs/abuse.md names it

    def lines() -> list[str]:
        return [line for path in logs.glob("access.log*") for line in path.read_text().splitlines()]

    def visit(user: str) -> None:
        client = recipe.connect(143, tls=False)
        assert imap_login(client, user.encode(), b"secret") == b"a NO No\r\n"
        client.close()
        users.append(user)

    users: list[str] = []
    for number in range(SESSIONS):
        visit(f"before{number}")
    recipe.mailworker.await_true(lambda: bool(lines()), "a line")
    rotate()
    new = logs / "access.log"
    while not (new.exists() and new.read_text()):  # lines go to the old file until all have opened the new one
        visit(f"after{len(users)}")
    recipe.mailworker.await_true(lambda: len(lines()) == len(users), "all lines")
    assert sorted(json.loads(line)["auth_user"] for line in lines()) == sorted(users)
    assert (logs / "access.log.1").read_text()
    assert (logs / "failures.json.1").read_text() == "{}\n"


def test_a_session_of_the_former_program_is_logged_in_the_new_file(
    recipe: Recipe, rotate: Callable[[], None], logs: Path
) -> None:
    early = recipe.connect(143, tls=False)
    assert imap_login(early, b"early", b"secret") == b"a NO No\r\n"
    early.close()
    recipe.mailworker.await_true(lambda: bool((logs / "access.log").read_text()), "a line, as empty logs stay")
    client = recipe.connect(143, tls=False)
    client.line()
    former, _ = recipe.mailworker.upgrade()
    rotate()

    def has_let_go() -> bool:
        processes = psutil.Process(former).children()
        try:
            paths = {file.path for process in processes for file in process.open_files()}
        except psutil.NoSuchProcess:  # another of them has just ended
            return False
        return str(logs / "access.log") in paths and str(logs / "access.log.1") not in paths

    recipe.mailworker.await_true(has_let_go, "the former log writer with the new file")
    client.send(b"a LOGIN late secret\r\n")
    assert client.line() == b"a NO No\r\n"
    client.close()
    new = logs / "access.log"
    recipe.mailworker.await_true(lambda: bool(new.read_text()), "the line of the session")
    assert json.loads(new.read_text())["auth_user"] == "late"
