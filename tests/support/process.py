"""The real binary, run in a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from signal import Signals

import psutil

from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE

GREETING = b"* OK IMAP4 ready\r\n"
_PAUSE = 0.0005  # seconds
BINARY = Path(__file__).resolve().parents[2] / "bin" / "mailworker"


def configuration(port: int, *, main: str = "", events: str = "", mail: str = "", server: str = "") -> str:
    """A configuration with one IMAP server on `port`, and further directives for each of its blocks."""
    return f"""
        error_log logs/error.log info;
        {main}
        events {{ {events} }}
        mail {{
            server_name mail.example;
            auth_http 127.0.0.1:9/;
            {mail}
            server {{ listen 127.0.0.1:{port}; protocol imap; {server} }}
        }}
    """


class Mailworker:
    """One installation: `folder` is its prefix.

    `alerts` are patterns of [alert] lines that the test provokes; any other alert makes `stop` fail.
    """

    def __init__(self, folder: Path, text: str, *arguments: str) -> None:
        self.folder = folder
        self.alerts: list[str] = []
        self.interpreter = sys.executable
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "conf").mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        self.configure(text)

    @property
    def pid_file(self) -> Path:
        return self.folder / "logs" / "mailworker.pid"

    @property
    def error_log(self) -> Path:
        return self.folder / "logs" / "error.log"

    def configure(self, text: str) -> None:
        """Write the configuration, for the next start or reload."""
        (self.folder / "conf" / "mailworker.conf").write_text(text)

    def command(self, *arguments: str) -> list[str]:
        return [self.interpreter, str(BINARY), "-p", str(self.folder), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Call the binary and wait for it."""
        return subprocess.run(self.command(*arguments), capture_output=True, timeout=PATIENCE, check=False)

    def start_daemon(self) -> None:
        """Start in the background, and wait for the first worker."""
        assert self.run(*self._arguments).returncode == 0, self.error_log.read_text()
        self.await_true(lambda: written_pid(self.pid_file) is not None, "start")
        self.await_true(lambda: bool(self.workers()), "the first worker")

    def launch(self) -> None:
        """Start in the foreground without waiting."""
        with (self.folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                self.command("-g", "daemon off;", *self._arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start(self) -> None:
        """Start in the foreground and wait until workers have been started."""
        self.launch()
        process = self._process
        assert process is not None
        wait_until(lambda: process.poll() is not None or written_pid(self.pid_file) == process.pid, "start")
        assert process.poll() is None, self.output

    @property
    def output(self) -> str:
        """The output of the binary."""
        return (self.folder / "output").read_text()

    @property
    def pid(self) -> int:
        """The master's process id."""
        pid = written_pid(self.pid_file)
        assert pid is not None, f"no process id in {self.pid_file}"
        return pid

    @property
    def old_pid_file(self) -> Path:
        """The pid file of a master that has changed its binary."""
        return self.pid_file.with_name(f"{self.pid_file.name}.oldbin")

    @property
    def in_charge(self) -> int:
        """The process id of the master that is in charge: while a binary is changed, that of the old one."""
        pid = written_pid(self.pid_file) or written_pid(self.old_pid_file)
        assert pid is not None, "no process id in any pid file"
        return pid

    def workers(self, master: int | None = None) -> list[psutil.Process]:
        """The running workers of `master`, None for the one in the pid file."""
        children = psutil.Process(self.pid if master is None else master).children()
        return [child for child in children if is_worker(child)]

    def status_processes(self, master: int = 0) -> list[psutil.Process]:
        """The status processes of `master`, 0 for the one in the pid file."""
        return [child for child in psutil.Process(master or self.pid).children() if is_status_process(child)]

    def await_status_process(self, without: int = 0) -> psutil.Process:
        """Wait until there is a status process with another process id than `without`."""
        self.await_true(lambda: any(each.pid != without for each in self.status_processes()), "a status process")
        return next(each for each in self.status_processes() if each.pid != without)

    def signal(self, number: Signals) -> None:
        """Send a signal to the master."""
        os.kill(self.pid, number)

    def upgrade(self) -> tuple[int, int]:
        """Let the master change its binary; returns the process ids of the old master and of the new one.

        Meanwhile the pid file is renamed: when it is back, the new master is ready, as in nginx.
        """
        old = self.pid
        self.signal(signal.SIGUSR2)
        self.await_true(lambda: written_pid(self.pid_file) not in (None, old), "the new master's pid file")
        self.await_true(lambda: bool(self.workers()), "the new master's workers")
        return old, self.pid

    def lines(self, pattern: str) -> list[str]:
        """The lines of the error log that contain a match of `pattern`, a regular expression."""
        return [line for line in self.error_log.read_text().splitlines() if re.search(pattern, line)]

    def await_line(self, pattern: str, count: int = 1) -> str:
        """Wait until `count` lines match and return the last of them."""
        self.await_true(lambda: len(self.lines(pattern)) >= count, f"{count} lines {pattern!r}")
        return self.lines(pattern)[-1]

    def await_true(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` returns true; shows the log if it does not."""
        try:
            wait_until(condition, what, PATIENCE)
        except TimeoutError as error:
            raise AssertionError(f"{error}; the log:\n{self.error_log.read_text()}") from None

    def await_workers(self, count: int, without: Iterable[int] = (), master: int | None = None) -> list[int]:
        """Wait until `master` has `count` workers, none of them of `without`; returns their process ids."""
        gone = set(without)
        found: list[int] = []

        def complete() -> bool:
            found[:] = [worker.pid for worker in self.workers(master)]
            return len(found) == count and not gone.intersection(found)

        self.await_true(complete, f"{count} workers")
        return found

    def await_exit(self) -> int:
        """Wait until the foreground process has ended; returns its exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def stop(self) -> None:
        """Stop all that still runs; fails if the log has an unexpected alert."""
        process, self._process = self._process, None
        self._stop_masters()
        if process is not None and process.poll() is None:
            children = psutil.Process(process.pid).children()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            _kill([child for child in children if child.is_running()])
            if process.poll() is None:
                process.kill()
                process.wait()
        if self.error_log.exists():
            unexpected = [line for line in self.lines(r"\[alert\]") if not any(re.search(p, line) for p in self.alerts)]
            assert not unexpected, "\n".join(unexpected)

    def _stop_masters(self) -> None:
        """Stop the masters that are not our children: daemons, and new binaries whose old master has gone."""
        masters = [master for path in (self.pid_file, self.old_pid_file) if (master := self._master(path))]
        family = [process for master in masters for process in (master, *master.children(recursive=True))]
        for master in masters:
            with suppress(psutil.NoSuchProcess):
                master.terminate()
        _kill(psutil.wait_procs(family, timeout=PATIENCE)[1])

    def _master(self, pid_file: Path) -> psutil.Process | None:
        """The running process that a pid file names, if it belongs to this folder."""
        pid = written_pid(pid_file)
        if pid is not None:
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                return process if str(self.folder) in title(process) else None
        return None


def written_pid(pid_file: Path) -> int | None:
    """The process id in a pid file; None where there is none, or no file.

    Only a positive number counts: kill(2) takes 0 and -1 for groups of processes.
    """
    with suppress(FileNotFoundError, ValueError):
        pid = int(pid_file.read_text())
        return pid if pid > 0 else None
    return None


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def is_worker(process: psutil.Process) -> bool:
    """Whether this is a running worker, even one that is shutting down."""
    return is_called(process, "worker process")


def is_status_process(process: psutil.Process) -> bool:
    """Whether this is a running status process."""
    return is_called(process, "status process")


def is_called(process: psutil.Process, what: str) -> bool:
    """Whether a process that may have ended is one of our helpers or workers, of this name."""
    with suppress(psutil.NoSuchProcess):
        return title(process).startswith(f"mailworker: {what}")
    return False


def title(process: psutil.Process) -> str:
    """The title that `ps` shows of a process."""
    return " ".join(process.cmdline()).rstrip()


def has_ended(pid: int) -> bool:
    """Whether there is no such process, or only what its parent has not asked for yet."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def hold(process: psutil.Process) -> None:
    """Stop it, and wait until it has stopped: a signal takes its time. Raises psutil.NoSuchProcess if it has ended."""
    process.suspend()
    while (status := process.status()) != psutil.STATUS_STOPPED:
        if status == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(process.pid)
        time.sleep(_PAUSE)


def descriptors(pid: int) -> dict[Path, str]:
    """The descriptors of a process, as paths, and what they lead to, but for those that it closes meanwhile."""
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found[path] = str(path.readlink())
    return found


def opened(pid: int) -> list[str]:
    """What the descriptors of a process lead to."""
    return list(descriptors(pid).values())


def greeting(port: int, timeout: float = PATIENCE) -> bytes:
    """The greeting for a client of 127.0.0.1:`port`."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        return client.recv(4096)


def visit(port: int, times: int = 1) -> None:
    """Come for the greeting, and go."""
    for _ in range(times):
        assert greeting(port) == GREETING


def refuses(port: int) -> bool:
    """Whether no server listens on `port` of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(PATIENCE)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def established(pid: int, port: int) -> list[int]:
    """Ports of the clients that this process has accepted on `port`."""
    return [
        connection.raddr.port
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == port
    ]
