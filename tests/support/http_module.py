"""A real nginx with its http module: the oracle for servers chosen by name, which its mail module lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support import nginx
from tests.support.daemon import Daemon, accepts, find_program


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
    """See `nginx.verdict`, for an `http` block."""
    return nginx.verdict(folder, _command(folder, http, "-t"))


def _command(folder: Path, http: str, *switches: str) -> Sequence[str]:
    path = folder / "nginx.conf"
    path.write_bytes(configuration(http).encode(errors="surrogateescape"))
    return [find_program("nginx"), "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log"), *switches]
