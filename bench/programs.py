"""The C programs that put load on a proxy: its peers and its clients."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemon import ServerUnavailable

HERE = Path(__file__).parent
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")
LIBRARIES = ("-lssl", "-lcrypto")
TIMEOUT = 320.0  # seconds; the programs themselves give up earlier


def build(name: str, folder: Path) -> Path:
    """Compile bench/`name`.c; raises ServerUnavailable without a compiler or OpenSSL's headers."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise ServerUnavailable("cc is not installed")
    program = folder / name
    command = [compiler, *FLAGS, "-o", str(program), str(HERE / f"{name}.c"), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerUnavailable(f"{name}.c cannot be compiled: {done.stderr}")
    return program


@dataclass(frozen=True, slots=True)
class Load:
    """The work of clients; see client.c."""

    port: int
    protocol: str = "imap"
    mode: str = "login"
    count: int = 1
    at_once: int = 1
    version: str = ""  # "" for no TLS
    resume: bool = False
    amount: int = 0  # megabytes or commands
    ciphers: str = "-"
    quick: bool = True
    busy: bool = False

    def arguments(self) -> list[str]:
        version = {"": 0, "TLSv1.2": 12, "TLSv1.3": 13}[self.version]
        numbers = (self.count, self.at_once, version, int(self.resume), self.amount)
        ways = (int(self.quick), int(self.busy))
        return [self.mode, str(self.port), self.protocol, *map(str, numbers), self.ciphers, *map(str, ways)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of clients: numbers of logins and of resumed sessions, microseconds, and seconds for all of them."""

    logins: int
    resumed: int
    median: float
    p99: float
    seconds: float

    @classmethod
    def read(cls, line: str) -> Outcome:
        logins, resumed, median, p99, seconds = line.split()
        return cls(int(logins), int(resumed), float(median), float(p99), float(seconds))


class Program:
    """A program that prints one line when it is ready, and ends when its standard input does."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.line = self._process.stdout.readline()
        if not self.line:
            raise RuntimeError(f"{command[0]} ended with {self._process.wait()}")

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, text: str) -> None:
        """Write to the program's standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def stop(self) -> None:
        self._process.communicate(timeout=TIMEOUT)


class Clients:
    """Runs clients by the program `client`."""

    def __init__(self, program: Path) -> None:
        self._program = str(program)

    def run(self, load: Load) -> Outcome:
        """Let all clients come and leave."""
        command = [self._program, *load.arguments()]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=True)
        outcome = Outcome.read(done.stdout)
        if outcome.logins != load.count or outcome.resumed != (load.count if load.resume else 0):
            raise RuntimeError(f"{load}: {outcome}")
        return outcome

    def stay(self, load: Load) -> Program:
        """Let all clients come, and stay until the program is stopped."""
        return Program([self._program, *load.arguments()])
