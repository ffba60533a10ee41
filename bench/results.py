"""The figures in a JSON file: the machine, and one row for each measure."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

from mailworker.native.tls import version
from tests.support.daemon import ServerUnavailable, find_program

HEADER = ("measure", "nginx", "mailworker", "ratio", "unit", "goal", "reached")

Row = dict[str, Any]


class Results:
    """The rows of one file, which is rewritten with each new row; without a file nothing is kept."""

    def __init__(self, file: Path | None, rows: dict[str, Row]) -> None:
        self._file = file
        self.rows = rows

    @classmethod
    def read(cls, file: Path | None) -> Results:
        if file is None or not file.exists():
            return cls(file, {})
        return cls(file, json.loads(file.read_text(encoding="utf-8"))["rows"])

    def put(self, name: str, row: Row) -> None:
        self.rows[name] = row
        if self._file is not None:
            text = json.dumps({"machine": machine(), "rows": self.rows}, indent=1)
            self._file.write_text(text + "\n", encoding="utf-8")


def machine() -> dict[str, str]:
    """The machine, the date and the versions of this run."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    return {
        "date": date.today().isoformat(),
        "processors": f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}",
        "system": f"{platform.system()} {platform.release()}",
        "nginx": nginx_version(),
        "python": platform.python_version(),
        "openssl": version.running_with(),
    }


def nginx_version() -> str:
    """nginx's version, empty where it is not installed."""
    try:
        command = [find_program("nginx"), "-v"]
    except ServerUnavailable:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip().rpartition("/")[2]


def cells(name: str, row: Row) -> list[str]:
    """The row as a table shows it, in the order of HEADER."""
    rival = row.get("rival", "nginx")
    theirs, ours = row[rival]["median"], row["mailworker"]["median"]
    told = f"{theirs:.4g}" if rival == "nginx" else f"{rival} {theirs:.4g}"
    reached = "yes" if row["met"] else "no"
    return [name, told, f"{ours:.4g}", f"{row['ratio']:.2f}", row["unit"], row["goal"], reached]
