"""logrotate turns the logs over while clients come, and no line is lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, imap_login
from tests.support.auth import AuthService, rejected
from tests.support.daemon import find_program

SESSIONS = 30


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
    command = [find_program("logrotate"), "--force", "--state", str(tmp_path / "state"), str(configuration)]

    def lines() -> list[str]:
        return [line for path in logs.glob("access.log*") for line in path.read_text().splitlines()]

    for number in range(SESSIONS):
        client = recipe.connect(143, tls=False)
        assert imap_login(client, b"user%d" % number, b"secret") == b"a NO No\r\n"
        client.close()
        if number == SESSIONS // 2:
            recipe.mailworker.await_true(lambda: bool(lines()), "a line")
            ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert ran.returncode == 0, ran.stderr
    recipe.mailworker.await_true(lambda: len(lines()) == SESSIONS, "all lines")
    assert {json.loads(line)["auth_user"] for line in lines()} == {f"user{number}" for number in range(SESSIONS)}
    recipe.mailworker.await_true(lambda: bool((logs / "access.log").read_text()), "lines in the new file")
    assert (logs / "access.log.1").read_text()
