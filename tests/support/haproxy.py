"""Private haproxies, in front of a server and behind one, that write and read the PROXY protocol."""

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
        self._daemon.await_ready(lambda: accepts(*map(self.address, self._ports)))

    def address(self, name: str) -> Address:
        return "127.0.0.1", self._ports[name]

    def stop(self) -> None:
        self._daemon.stop()
        self._ports.close()


class HaproxyBehind:
    """Reads PROXY headers at `address`, verifies their checksums, and passes the rest on to `target`.

    `told` has a line for each connection: the client's address, the server name of the header and the unique id, "-"
    for none. Raises ServerUnavailable without haproxy.
    """

    def __init__(self, folder: Path, target: Address) -> None:
        program = find_program("haproxy")
        self._ports = Ports()
        self.address: Address = ("127.0.0.1", self._ports["behind"])
        self._output = folder / "haproxy-behind.output"
        path = folder / "haproxy-behind.cfg"
        path.write_text(
            HEAD
            + "    log stdout format raw local0\n"
            + "listen behind\n"
            + f"    bind 127.0.0.1:{self.address[1]} accept-proxy\n"
            + '    log-format "told %ci %[fc_pp_authority] %[fc_pp_unique_id]"\n'
            + f"    server target {target[0]}:{target[1]}\n"
        )
        self._daemon = Daemon([program, "-db", "-f", str(path)], self._output)
        self._daemon.await_ready(lambda: accepts(self.address))

    @property
    def told(self) -> list[str]:
        lines = self._output.read_text(errors="replace").splitlines()
        return [line.removeprefix("told ") for line in lines if line.startswith("told ")]

    def stop(self) -> None:
        self._daemon.stop()
        self._ports.close()
