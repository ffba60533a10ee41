"""logrotate turns the logs over while clients come, and no line is lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, imap_login
from tests.support.auth import AuthService, rejected
from tests.support.daemon import find_program

SESSIONS = 15


def test_no_line_is_lost(run: Run, auth: AuthService, tmp_path: Path) -> None:
    auth.prepare(rejected(b"No"))
    logs = tmp_path / "logs"
    logs.mkdir()
    pid_file = tmp_path / "recipe0" / "logs" / "mailworker.pid"
    changes = {
        "/var/log/mailworker/error.log": "logs/error.log",
        "pid /run/mailworker/mailworker.pid;": "",
        "/var/log/mailworker": str(logs),
        "127.0.0.1:9000": str(auth.address),
    }
    recipe = run("logrotate.md", changes)
    text = (RECIPES / "logrotate.conf").read_text(encoding="utf-8")
    for documented, meant in (("/var/log/mailworker", str(logs)), ("/run/mailworker/mailworker.pid", str(pid_file))):
        assert documented in text
        text = text.replace(documented, meant)
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(text)
    configuration.chmod(0o644)
    logs.chmod(0o755)
    (logs / "failures.json").write_text("{}\n")  # the log for CrowdSec, as docs/abuse.md names it
    command = [find_program("logrotate"), "--force", "--state", str(tmp_path / "state"), str(configuration)]

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
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    new = logs / "access.log"
    while not (new.exists() and new.read_text()):  # lines go to the old file until all have opened the new one
        visit(f"after{len(users)}")
    recipe.mailworker.await_true(lambda: len(lines()) == len(users), "all lines")
    assert sorted(json.loads(line)["auth_user"] for line in lines()) == sorted(users)
    assert (logs / "access.log.1").read_text()
    assert (logs / "failures.json.1").read_text() == "{}\n"
