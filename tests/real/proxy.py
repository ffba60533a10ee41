"""The proxy under test: mailworker, or nginx as the oracle when PROXY_UNDER_TEST=nginx."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Protocol

import psutil

from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import Address, Daemon, accepts, wait_until
from tests.support.dovecot import Dovecot
from tests.support.nginx import Nginx
from tests.support.ports import Ports
from tests.support.postfix import Postfix

LAUNCHER = Path(__file__).parents[2] / "bin" / "mailworker"
FAULTS = ("[emerg]", "[alert]", "Traceback")
REST_POLLS = 10


def is_oracle() -> bool:
    """Whether the tests run against nginx instead of mailworker."""
    return os.environ.get("PROXY_UNDER_TEST") == "nginx"


class _Server(Protocol):
    @property
    def pid(self) -> int: ...
    def stop(self) -> object: ...


class Proxy:
    """A proxy that serves a configuration text, in which `$name` stands for a port of 127.0.0.1 or a given value.

    Raises ServerUnavailable if the oracle is asked for and not installed.
    """

    def __init__(self, folder: Path, configuration: str, values: dict[str, object]) -> None:
        self._ports = Ports()
        self.error_log = folder / "error.log"
        self._output = folder / "output"
        text = Template(configuration).substitute(_Names(values, self._ports))
        addresses = [("127.0.0.1", port) for port in self._ports.values()]
        start = _start_nginx if is_oracle() else _start_mailworker
        self._server: _Server = start(folder, text, addresses)

    def address(self, name: str) -> Address:
        """Where the server with `listen 127.0.0.1:$name` listens."""
        return ("127.0.0.1", self._ports[name])

    def descriptors(self) -> int:
        """How many files and sockets its processes have open."""
        return sum(process.num_fds() for process in self._processes())

    def memory(self) -> int:
        """Bytes of memory that its processes occupy."""
        return sum(process.memory_info().rss for process in self._processes())

    def stop(self) -> None:
        """Stop it; raises AssertionError if its log or its output tells of a fault of its own."""
        self._server.stop()
        self._ports.close()
        records = (self.error_log.read_text(errors="replace"), self._output.read_text(errors="replace"))
        lines = "".join(records).splitlines()
        faults = [line for line in lines if any(fault in line for fault in FAULTS)]
        assert not faults, "\n".join(faults)

    def await_rest(self) -> None:
        """Wait until none of its processes has run for REST_POLLS looks at them."""
        activity = [self._activity()]

        def rests() -> bool:
            activity.append(self._activity())
            return len(activity) > REST_POLLS and len(set(activity[-REST_POLLS:])) == 1

        wait_until(rests, "rest")

    def _activity(self) -> tuple[object, ...]:
        """Changes whenever one of its processes runs."""
        return tuple((process.cpu_times(), process.num_ctx_switches()) for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        master = psutil.Process(self._server.pid)
        return [master, *master.children(recursive=True)]


@contextmanager
def running(folder: Path, configuration: str, values: dict[str, object]) -> Iterator[Proxy]:
    """A Proxy in a new folder, until the end of the `with` block."""
    folder.mkdir(mode=0o755, exist_ok=True)
    proxy = Proxy(folder, configuration, values)
    try:
        yield proxy
    finally:
        proxy.stop()


def values_for(folder: Path, authority: CertificateAuthority, dovecot: Dovecot, postfix: Postfix) -> dict[str, object]:
    """A certificate that is named as the folder, and the ports of the backends."""
    certificate = authority.issue_server(folder.name, ecdsa_key(), ("localhost", "127.0.0.1"))
    return {
        "certificate": certificate.certificate,
        "key": certificate.key,
        "imap_backend": dovecot.imap[1],
        "pop3_backend": dovecot.pop3[1],
        "smtp_backend": postfix.smtp[1],
        "submission_backend": postfix.submission[1],
        "trusting_backend": postfix.trusting[1],
    }


class _Names(dict[str, object]):
    """Values of a configuration text: what is not given is a port."""

    def __init__(self, values: dict[str, object], ports: Ports) -> None:
        super().__init__(values)
        self._ports = ports

    def __missing__(self, name: str) -> int:
        return self._ports[name]


def _start_nginx(folder: Path, configuration: str, addresses: list[Address]) -> _Server:
    return Nginx(folder, configuration, addresses)


def _start_mailworker(folder: Path, configuration: str, addresses: list[Address]) -> _Server:
    path = folder / "mailworker.conf"
    path.write_text(configuration)
    options = ["-p", str(folder), "-c", str(path), "-e", str(folder / "error.log"), "-g", "daemon off;"]
    command = [sys.executable, str(LAUNCHER), *options]
    daemon = Daemon(command, folder / "output")
    daemon.await_ready(lambda: accepts(*addresses))
    return daemon
