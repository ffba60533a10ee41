"""The two proxies, started with the same configuration text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tests.real.proxy import LAUNCHER
from tests.support.daemon import Address, Daemon, accepts
from tests.support.nginx import Nginx


class Proxy(Protocol):
    @property
    def pid(self) -> int: ...
    def stop(self) -> object: ...


Start = Callable[[Path, str, Sequence[Address]], Proxy]


def nginx(folder: Path, configuration: str, addresses: Sequence[Address]) -> Proxy:
    """Raises ServerUnavailable where it is not installed."""
    return Nginx(folder, configuration, addresses)


def mailworker(folder: Path, configuration: str, addresses: Sequence[Address]) -> Proxy:
    return _started(mailworker_command(folder, configuration), folder, addresses)


def mailworker_of(checkout: Path) -> Start:
    """As `mailworker`, for another checkout, run by the Python of its virtual environment."""

    def start(folder: Path, configuration: str, addresses: Sequence[Address]) -> Proxy:
        _, _, *options = mailworker_command(folder, configuration)
        program = [str(checkout / ".venv/bin/python"), str(checkout / "bin" / LAUNCHER.name)]
        return _started([*program, *options], folder, addresses)

    return start


def mailworker_command(folder: Path, configuration: str) -> list[str]:
    """The command line that serves `configuration` in the foreground."""
    path = folder / "mailworker.conf"
    path.write_text(configuration)
    return [sys.executable, str(LAUNCHER), "-p", str(folder), "-c", str(path), "-g", "daemon off;"]


def _started(command: list[str], folder: Path, addresses: Sequence[Address]) -> Proxy:
    daemon = Daemon(command, folder / "output")
    daemon.await_ready(lambda: accepts(*addresses))
    return daemon
