"""A real nginx with its http module: the oracle for servers chosen by name, which its mail module lacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import nginx
from tests.support.daemon import accepts, running


@contextmanager
def serving(folder: Path, http: str, port: int) -> Iterator[None]:
    """An nginx with this `http` block, once it listens on `port`."""
    command = _command(folder, http, "-g", "daemon off; master_process off;")
    with running(command, folder / "output", lambda: accepts(("127.0.0.1", port))):
        yield


def verdict(folder: Path, http: str) -> list[str]:
    """See `nginx.verdict`, for an `http` block."""
    return nginx.verdict(folder, _command(folder, http, "-t"))


def _command(folder: Path, http: str, *switches: str) -> list[str]:
    text = f"worker_processes 1; events {{}} http {{ access_log off; {http} }}"
    return nginx.command(folder, text, *switches)
