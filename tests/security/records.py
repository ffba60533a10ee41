"""The error log of an attacked program, read as an administrator's eyes and tools do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_RECORD = re.compile(r"[0-9/]{10} [0-9:]{8} \[(\w+)\] ([0-9]+)#[0-9]+: .*")


class Records:
    """Each record is one printable line of a process that is ours, and none tells of a fault of the program."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def added(self, pids: Iterable[int]) -> list[str]:
        """Whole records since the last call; `pids` are our processes."""
        with self._path.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        lines = data.decode("utf-8").split("\n")[:-1]
        known = {str(pid) for pid in pids}
        for line in lines:
            record = _RECORD.fullmatch(line)
            assert record is not None, line
            assert record[1] not in ("alert", "emerg"), line
            assert record[2] in known, line
            assert "Traceback" not in line, line
            assert line.isprintable(), line
        return lines
