"""docs/abuse.md names files that are shipped and commands that exist; test_configurations.py loads its blocks."""

from __future__ import annotations

import re
import shlex
import subprocess

from mailworker.control.main import parser
from tests.docs.test_configurations import ROOT

PAGE = (ROOT / "docs" / "abuse.md").read_text(encoding="utf-8")
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
INSTALLED = re.compile(r"/usr/share/mailworker/([\w./-]+)")


def test_the_files_that_are_copied_are_shipped() -> None:
    named = [ROOT / "conf" / path for path in INSTALLED.findall(PAGE)]
    assert len(named) == 3
    assert [path for path in named if not path.exists()] == []
    (folders,) = re.findall(r"^cp -r (.*) /etc/crowdsec/$", PAGE, re.MULTILINE)
    shipped = ROOT / "conf" / "crowdsec"
    assert sorted(folders.split()) == sorted(path.name for path in shipped.iterdir() if path.is_dir())


def test_scenarios_are_those_that_are_shipped() -> None:
    shipped = (ROOT / "conf" / "crowdsec" / "scenarios" / "mailworker-bf.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(mailworker/[\w-]+)`", PAGE, re.MULTILINE) == re.findall(
        r"^name: (.*)$", shipped, re.MULTILINE
    )


def test_commands_are_those_of_mailworker_ctl() -> None:
    lines = [shlex.split(line, comments=True) for line in COMMANDS.splitlines() if line.startswith("mailworker-ctl")]
    assert [parser().parse_args(arguments).subcommand for _, *arguments in lines] == [
        "limits",
        "bans",
        "ban",
        "ban",
        "unban",
    ]


def test_commands_are_those_of_a_shell() -> None:
    subprocess.run(["sh", "-n"], input=COMMANDS, text=True, check=True)
