"""A private nginx with its mail module: the oracle that the proxy is compared with."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support.daemon import Address, Daemon, ServerUnavailable, accepts, find_program
from tests.support.patience import PATIENCE

_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
_TIME_AND_PROCESS = re.compile(r"^(?:nginx: |[0-9/]+ [0-9:]+ )(\[\w+\]) (?:\d+#\d+: )?(.*)$")


class Nginx:
    """Serves a configuration text, whose relative paths start at `folder`, once all `addresses` are open.

    Raises ServerUnavailable where nginx or its mail module is not installed.
    """

    def __init__(self, folder: Path, configuration: str, addresses: Iterable[Address]) -> None:
        self.error_log = folder / "error.log"
        self._daemon = Daemon(nginx_command(folder, configuration), folder / "output")
        self._daemon.await_ready(lambda: accepts(*addresses))

    @property
    def pid(self) -> int:
        return self._daemon.pid

    def stop(self) -> None:
        self._daemon.stop()


def nginx_command(folder: Path, configuration: str) -> list[str]:
    """The command line that serves `configuration` in the foreground; raises ServerUnavailable."""
    module = find_module("mail")
    if module is None:
        raise ServerUnavailable("nginx's mail module is not installed")
    return command(folder, f"load_module {module};\n{configuration}", "-g", "daemon off;")


def command(folder: Path, configuration: str, *switches: str) -> list[str]:
    """The command line that calls nginx with a configuration of any modules."""
    path = folder / "nginx.conf"
    path.write_bytes(configuration.encode(errors="surrogateescape"))
    return [find_program("nginx"), "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log"), *switches]


def find_module(name: str) -> Path | None:
    """A dynamic module, "mail" or "stream"; None where it is not installed."""
    paths = (Path(folder, f"ngx_{name}_module.so") for folder in _MODULES)
    return next((path for path in paths if path.exists()), None)


def verdict(folder: Path, command: Sequence[str]) -> list[str]:
    """The output of `nginx -t` without times, pids and `folder`: "[level] message in nginx.conf:LINE", each once."""
    said = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
    found = map(_TIME_AND_PROCESS.match, said.stderr.decode(errors="surrogateescape").splitlines())
    return list(dict.fromkeys(f"{match[1]} {match[2]}".replace(f"{folder}/", "") for match in found if match))
