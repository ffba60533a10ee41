"""A trial runs a mailworker with a number of workers, and measures its rate under load."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from mailworker.config.ssl import SslSettings
from mailworker.errors import StartError
from mailworker.tune.load import Kind

_CLIENTS = 8  # of each load process
_PATIENCE = 20.0  # seconds within which a mailworker must start, and must exit
_INTERVAL = 0.02  # seconds between two checks whether it has started
_START = """
import sys
from mailworker.process.system.inherited_state import settle
settle()
from mailworker.cli import main
sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Result:
    """The `rate` per second of so many `workers`, which have used `processor` seconds of processor time per second."""

    kind: Kind
    workers: int
    rate: float
    processor: float

    @property
    def potential(self) -> float:
        """The rate if each worker had a processor of its own, and clients took no time; 0 if none was measured."""
        return self.rate / self.processor * self.workers if self.processor else 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """Measures for so many `seconds`, or longer until anything was done, with so many `loads`, see `tune.load`.

    `ssl` is None if there are no certificates for handshakes.
    """

    ssl: SslSettings | None
    worker_connections: int
    seconds: float
    loads: int

    @property
    def kinds(self) -> list[Kind]:
        """The kinds that can be measured."""
        return [kind for kind in Kind if kind is not Kind.HANDSHAKES or self.ssl is not None]

    def run(self, kind: Kind, workers: int) -> Result:
        """Measure; raises StartError if mailworker does not start."""
        with TemporaryDirectory(prefix="mailworker-tune-") as name, ExitStack() as stack:
            folder = Path(name)
            ports = [stack.enter_context(_reserved_port()) for _ in range(3)]
            configuration = self.configuration(folder, kind, workers, ports)
            master = stack.enter_context(_running(folder, configuration, ports[0]))
            arguments = [kind.value, *map(str, ports), str(self.seconds), str(_CLIENTS)]
            loads = [stack.enter_context(_load(arguments)) for _ in range(self.loads)]
            for load in loads:
                _hear(load)
            before, begin = _processor_time(master), time.monotonic()
            for load in loads:
                _say(load)
            rate = sum(float(_hear(load)) for load in loads)
            used, span = _processor_time(master) - before, time.monotonic() - begin
        return Result(kind, workers, rate, used / span)

    def configuration(self, folder: Path, kind: Kind, workers: int, ports: list[int]) -> str:
        """The configuration of a mailworker in `folder`; `ports` are its own and those of auth service and backend."""
        port, auth_port, _ = ports
        tls = self.ssl if kind is Kind.HANDSHAKES else None
        return f"""
            daemon off;
            worker_processes {workers};
            pid {_quoted(folder / "pid")};
            error_log {_quoted(folder / "error.log")} error;
            events {{ worker_connections {max(self.worker_connections, 1024)}; }}
            mail {{
                auth_http 127.0.0.1:{auth_port}/;
                server {{ listen 127.0.0.1:{port}{" ssl" if tls else ""}; protocol pop3; {_directives(tls, folder)} }}
            }}
        """


def _directives(tls: SslSettings | None, folder: Path) -> str:
    """The TLS settings that decide how much work a full handshake is."""
    if tls is None:
        return ""
    lines = [f"ssl_certificate {_quoted(name)};" for name in tls.certificates]
    lines += [f"ssl_certificate_key {_quoted(name)};" for name in tls.certificate_keys]
    lines += [f"ssl_protocols {' '.join(tls.protocols)};", f"ssl_ciphers {_quoted(tls.ciphers)};"]
    lines.append(f"ssl_ecdh_curve {_quoted(tls.ecdh_curve)};")
    if tls.passwords is not None:
        passwords = folder / "passwords"
        passwords.write_bytes(b"\n".join(tls.passwords))
        lines.append(f"ssl_password_file {_quoted(passwords)};")
    return " ".join(lines)


def _quoted(value: str | Path) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@contextmanager
def _running(folder: Path, configuration: str, port: int) -> Iterator[psutil.Process]:
    """A mailworker that accepts on `port`; raises StartError with its output."""
    path = folder / "mailworker.conf"
    path.write_text(configuration)
    command = [sys.executable, "-c", _START, "-p", str(folder), "-c", str(path), "-e", "stderr"]
    output = folder / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"mailworker did not start: {output.read_text(errors='replace').strip()}")
            time.sleep(_INTERVAL)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _load(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "mailworker.tune.load", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        try:
            yield load
        finally:
            load.kill()


def _say(load: subprocess.Popen[bytes]) -> None:
    assert load.stdin is not None
    load.stdin.write(b"go\n")
    load.stdin.flush()


def _hear(load: subprocess.Popen[bytes]) -> bytes:
    assert load.stdout is not None
    line = load.stdout.readline()
    if not line:
        raise StartError("a process that should put load on mailworker has ended")
    return line


def _processor_time(master: psutil.Process) -> float:
    """Seconds of processor time that the workers have used."""
    times = [worker.cpu_times() for worker in master.children()]
    return float(sum(each.user + each.system for each in times))


@contextmanager
def _reserved_port() -> Iterator[int]:
    """A port that is kept bound, so that no other process gets it by chance; a server with SO_REUSEADDR can use it."""
    with socket.socket() as reservation:
        reservation.bind(("127.0.0.1", 0))
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield int(reservation.getsockname()[1])
