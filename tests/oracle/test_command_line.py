"""The same command line, to mailworker and to a real nginx: output, error output and exit status agree."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.oracle.command_lines import CASES, Case
from tests.oracle.verdicts import MODULE, NGINX
from tests.real.proxy import LAUNCHER

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(NGINX is None or MODULE is None, reason="no nginx with a dynamic mail module here"),
]

Result = tuple[int, str, str]

_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\[[a-z]+\]) \d+#\d+:", re.MULTILINE)
_VERSION = re.compile(r"(version: NAME/)\S+")
# What is compiled in differs; the usage's second line is indented by the name's length, long names are ours alone.
_DEFAULT = re.compile(r"\(default: \S+\)")
_INDENT = re.compile(r"^ +(?=\[)", re.MULTILINE)
_LONG = re.compile(r"(?:,--\w+)? +: ")
_EXPLAIN = re.compile(r"^  --explain .*\n +without .*\n", re.MULTILINE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mailworker_and_nginx_agree(case: Case, tmp_path: Path) -> None:
    theirs = _run([str(NGINX)], "nginx", case, tmp_path / "a")
    ours = _run([sys.executable, str(LAUNCHER)], "mailworker", case, tmp_path / "b")
    assert ours == theirs


def _run(command: Sequence[str], name: str, case: Case, folder: Path) -> Result:
    folder.mkdir()
    load = f"load_module {MODULE}; " if name == "nginx" else ""
    text = case.text if "pid" in case.text else f"pid pid; {case.text}"
    (folder / "c.conf").write_text(load + text.replace("@", str(folder)))
    (folder / "empty.conf").touch()
    common = [] if case.alone else ["-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "c.conf")]
    switches = [switch.replace("@", str(folder)) for switch in case.switches]
    run = subprocess.run([*command, *common, *switches], capture_output=True, timeout=30, check=False, cwd=folder)
    output, errors = (_masked(data.decode().replace(load, ""), name, folder) for data in (run.stdout, run.stderr))
    return run.returncode, output, errors


def _masked(text: str, name: str, folder: Path) -> str:
    text = _LONG.sub(": ", _EXPLAIN.sub("", text))
    text = _STAMP.sub(r"DATE \1:", text.replace(str(folder), "@").replace(name, "NAME"))
    return _INDENT.sub("", _DEFAULT.sub("(default)", _VERSION.sub(r"\1VERSION", text)))
