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
    daemon = Daemon(mailworker_command(folder, configuration), folder / "output")
    daemon.await_ready(lambda: all(accepts(address) for address in addresses))
    return daemon


def mailworker_command(folder: Path, configuration: str) -> list[str]:
    """The command line that serves `configuration` in the foreground."""
    path = folder / "mailworker.conf"
    path.write_text(configuration)
    return [sys.executable, str(LAUNCHER), "-p", str(folder), "-c", str(path), "-g", "daemon off;"]
