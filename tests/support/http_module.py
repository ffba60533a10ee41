"""A real nginx with its http module: the oracle for servers chosen by name, which its mail module lacks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import Daemon, accepts, find_program
from tests.support.patience import PATIENCE

_TIME_AND_PROCESS = re.compile(r"^(?:nginx: |[0-9/]+ [0-9:]+ )(\[\w+\]) (?:\d+#\d+: )?(.*)$")


def configuration(http: str) -> str:
    return f"worker_processes 1; events {{}} http {{ access_log off; {http} }}"


@contextmanager
def serving(folder: Path, http: str, port: int) -> Iterator[None]:
    """An nginx with this `http` block, once it listens on `port`."""
    daemon = Daemon(_command(folder, http, "-g", "daemon off; master_process off;"), folder / "output")
    try:
        daemon.await_ready(lambda: accepts(("127.0.0.1", port)))
        yield
    finally:
        daemon.stop()


def verdict(folder: Path, http: str) -> list[str]:
    """The output of `nginx -t` for an `http` block, without times and pids: "[level] message in nginx.conf:LINE"."""
    said = subprocess.run(_command(folder, http, "-t"), capture_output=True, check=False, timeout=PATIENCE)
    lines = said.stderr.decode(errors="surrogateescape").splitlines()
    texts = [
        f"{match[1]} {match[2]}".replace(f"{folder}/", "") for match in map(_TIME_AND_PROCESS.match, lines) if match
    ]
    return list(dict.fromkeys(texts))


def _command(folder: Path, http: str, *switches: str) -> Sequence[str]:
    path = folder / "nginx.conf"
    path.write_bytes(configuration(http).encode(errors="surrogateescape"))
    return [find_program("nginx"), "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log"), *switches]
