"""The jails in conf/fail2ban, read by fail2ban itself; tests/process/test_limits.py has the filter read a log."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.daemon import find_program

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "conf" / "fail2ban"
JAIL = SHIPPED / "jail.d" / "mailworker.conf"
DEBIAN = Path("/etc/fail2ban")
PORTS = "imap,imaps,pop3,pop3s,smtp,submission,submissions,sieve"


def unbanned(*command: str | Path, folder: Path) -> list[bool]:
    """Whether a command succeeds where `mailworker-ctl unban 192.0.2.7` lifts a ban, finds none, and fails."""
    folder.mkdir()
    program = folder / "mailworker-ctl"
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    found = []
    for status in (0, 1, 2):
        program.write_text(f'#!/bin/sh\n[ "$*" = "unban 192.0.2.7" ] || exit 3\nexit {status}\n')
        program.chmod(0o755)
        found.append(subprocess.run(command, env=environment, check=False).returncode == 0)
    return found


def test_crowdsec_lifts_a_ban_that_has_ended_already(tmp_path: Path) -> None:
    program = ROOT / "conf" / "crowdsec" / "mailworker-ban"
    assert unbanned(program, "del", "192.0.2.7", "60", "why", "{}", folder=tmp_path / "bin") == [True, True, False]


def test_fail2ban_takes_the_jails(tmp_path: Path) -> None:
    program = find_program("fail2ban-client")
    folder, failures, errors = tmp_path / "fail2ban", tmp_path / "failures.log", tmp_path / "error.log"
    shutil.copytree(DEBIAN, folder)
    for other in (folder / "jail.d").iterdir():
        other.unlink()
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
    failures.touch()
    errors.touch()
    text = JAIL.read_text()
    assert "access_log /var/log/mailworker/failures.log dovecot on=failure;" in text
    assert text.count("enabled  = false\n") == 1
    text = text.replace("enabled  = false\n", "enabled  = true\naction   = mailworker\n")
    (folder / "jail.d" / JAIL.name).write_text(text.replace("/var/log/mailworker", str(tmp_path)))
    dumped = subprocess.run([program, "-c", str(folder), "-d"], check=True, capture_output=True, text=True).stdout
    commands = [ast.literal_eval(line) for line in dumped.splitlines() if line.startswith("[")]
    for jail, log in (("mailworker", failures), ("mailworker-bans", errors)):
        assert ["add", jail, "auto"] in commands
        assert ["set", jail, "addlogpath", str(log), "head"] in commands
        assert ["start", jail] in commands
    actions = {command[1]: command for command in commands if command[0] == "multi-set" and command[2] == "action"}
    assert ["port", PORTS] in actions["mailworker"][4]
    assert ["actionban", "mailworker-ctl ban <ip> <bantime>"] in actions["mailworker-bans"][4]
    ((_, unban),) = [each for each in actions["mailworker-bans"][4] if each[0] == "actionunban"]
    assert unbanned("/bin/sh", "-c", unban.replace("<ip>", "192.0.2.7"), folder=tmp_path / "bin") == [True, True, False]
    (expression,) = [each[3] for each in commands if each[:3] == ["set", "mailworker-bans", "addfailregex"]]
    assert 'by zone "(?:fail)"' in expression
