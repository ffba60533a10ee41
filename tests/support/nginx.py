"""A private nginx with its mail module: the oracle that the proxy is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.support.daemon import Address, Daemon, ServerUnavailable, accepts, find_program

MAIL_MODULES = ("/usr/lib/nginx/modules/ngx_mail_module.so", "/usr/lib64/nginx/modules/ngx_mail_module.so")


class Nginx:
    """Serves a configuration text, whose relative paths start at `folder`, once all `addresses` are open.

    Raises ServerUnavailable where nginx or its mail module is not installed.
    """

    def __init__(self, folder: Path, configuration: str, addresses: Iterable[Address]) -> None:
        self.error_log = folder / "error.log"
        self._daemon = Daemon(nginx_command(folder, configuration), folder / "output")
        self._daemon.await_ready(lambda: all(accepts(address) for address in addresses))

    @property
    def pid(self) -> int:
        return self._daemon.pid

    def stop(self) -> None:
        self._daemon.stop()


def nginx_command(folder: Path, configuration: str) -> list[str]:
    """The command line that serves `configuration` in the foreground; raises ServerUnavailable."""
    path = folder / "nginx.conf"
    path.write_text(f"load_module {_mail_module()};\n{configuration}")
    log = str(folder / "error.log")
    return [find_program("nginx"), "-p", str(folder), "-c", str(path), "-e", log, "-g", "daemon off;"]


def _mail_module() -> str:
    for module in MAIL_MODULES:
        if Path(module).exists():
            return module
    raise ServerUnavailable("nginx's mail module is not installed")
