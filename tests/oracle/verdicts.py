"""What nginx and mailworker say of a configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mailworker.config.load import load
from mailworker.errors import ConfigError, UnreadableError
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.native.regex import Regex
from tests.oracle.configurations import Case
from tests.support.nginx import find_module

MODULE = find_module("mail")
NGINX = shutil.which("nginx", path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin")

_LINE = re.compile(r"^(?:nginx:|\S+ \S+) (\[(?:emerg|warn|crit)\]) (?:\d+#\d+: )?(.*)$", re.DOTALL)
_HINT = re.compile(r', (?:did you mean "[^"]*"\?|known are [a-z0-9, ]+)\Z')


def write(case: Case, folder: Path) -> None:
    """Lay out the case's files."""
    for name, content in {**case.files, "c.conf": case.text}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def nginx_verdict(case: Case, folder: Path) -> list[str]:
    """The warnings and errors of `nginx -t`, an error last; no line is a good configuration."""
    globals_ = f"load_module {MODULE}; error_log stderr; pid {folder}/pid; {case.globals_}"
    command = [str(NGINX), "-t", "-e", "stderr", "-p", str(folder), "-c", str(folder / "c.conf"), "-g", globals_]
    run = subprocess.run(command, capture_output=True, timeout=60, check=False)
    lines = _split_lines(run.stderr.decode(errors="surrogateescape"))
    verdict = [f"{match[1]} {match[2]}" for line in lines if (match := _LINE.match(line))]
    # What follows the syntax check, such as bind(), is not the configuration's verdict.
    ended = next((index for index, line in enumerate(verdict) if "bind() to" in line), len(verdict))
    return [line.replace(f"{folder}/", "") for line in verdict[:ended]]


def mailworker_verdict(case: Case, folder: Path) -> list[str]:
    """The same of ours."""
    return our_verdict(folder / "c.conf", case.globals_)


def our_verdict(path: Path, globals_: str = "") -> list[str]:
    """What mailworker says of a file, without its folder: "[level] message in NAME:LINE", an error last."""
    verdict: list[str] = []
    try:
        load(
            path,
            protocols=PROTOCOLS,
            prefix=path.parent,
            globals_=globals_,
            compile_regex=Regex,
            on_warning=lambda level, message: verdict.append(f"[{level.name.lower()}] {message}"),
        )
    except ConfigError as error:
        verdict.append(f"[{'crit' if isinstance(error, UnreadableError) else 'emerg'}] {error}")
    return [line.replace(f"{path.parent}/", "") for line in verdict]


def without_hint(verdict: Sequence[str]) -> list[str]:
    """A verdict of ours without what it says behind nginx's words: what may have been meant, or is known."""
    return [_HINT.sub("", line) for line in verdict]


def _split_lines(output: str) -> Sequence[str]:
    """Messages, of which one may hold line feeds."""
    return re.split(r"\n(?=nginx: |\d{4}/\d\d/\d\d )", output.rstrip("\n"))
