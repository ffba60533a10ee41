"""The jail in conf/fail2ban, read by fail2ban itself."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

from tests.support.daemon import find_program

ROOT = Path(__file__).resolve().parents[2]
JAIL = ROOT / "conf" / "fail2ban" / "mailworker.conf"
SHIPPED = Path("/etc/fail2ban")


def test_fail2ban_takes_the_jail(tmp_path: Path) -> None:
    program = find_program("fail2ban-client")
    folder, log = tmp_path / "fail2ban", tmp_path / "failures.log"
    shutil.copytree(SHIPPED, folder)
    for other in (folder / "jail.d").iterdir():
        other.unlink()
    log.touch()
    text = JAIL.read_text()
    assert "access_log /var/log/mailworker/failures.log dovecot on=failure;" in text
    (folder / "jail.d" / JAIL.name).write_text(text.replace("/var/log/mailworker", str(tmp_path)))
    dumped = subprocess.run([program, "-c", str(folder), "-d"], check=True, capture_output=True, text=True).stdout
    commands = [ast.literal_eval(line) for line in dumped.splitlines() if line.startswith("[")]
    assert ["add", "mailworker", "auto"] in commands
    assert ["set", "mailworker", "addlogpath", str(log), "head"] in commands
    assert ["start", "mailworker"] in commands
    (ports,) = [each for each in commands if each[:2] == ["multi-set", "mailworker"] and each[2] == "action"]
    assert ["port", "imap,imaps,pop3,pop3s,smtp,submission,submissions,sieve"] in ports[4]
