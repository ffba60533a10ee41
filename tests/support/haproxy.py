"""A private haproxy that passes connections on behind a PROXY protocol header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.daemon import Address, Daemon, accepts, find_program
from tests.support.ports import Ports

HEAD = """\
global
    maxconn 100
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
"""


class Haproxy:
    """Listens for each of `targets` twice: "NAME" sends version 1 of the header, "NAME-v2" version 2.

    Raises ServerUnavailable without haproxy.
    """

    def __init__(self, folder: Path, targets: Mapping[str, Address]) -> None:
        program = find_program("haproxy")
        self._ports = Ports()
        sections = [
            f"listen {name}{suffix}\n"
            f"    bind 127.0.0.1:{self._ports[name + suffix]}\n"
            f"    server target {host}:{port} send-proxy{suffix}\n"
            for name, (host, port) in targets.items()
            for suffix in ("", "-v2")
        ]
        path = folder / "haproxy.cfg"
        path.write_text(HEAD + "".join(sections))
        self._daemon = Daemon([program, "-db", "-f", str(path)], folder / "haproxy.output")
        self._daemon.await_ready(lambda: all(accepts(self.address(name)) for name in self._ports))

    def address(self, name: str) -> Address:
        return "127.0.0.1", self._ports[name]

    def stop(self) -> None:
        self._daemon.stop()
        self._ports.close()
