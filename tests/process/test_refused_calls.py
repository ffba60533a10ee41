"""A sandbox around us may refuse any system call: then we do without it, or say so and end. Nobody waits in vain."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from signal import Signals

import psutil
import pytest

from mailworker.process.system.hardening import LIBC
from tests.long.clients import Client, Door, Outcome, connecting
from tests.long.site import Extra, Peers
from tests.long.site import configuration as configuration_of
from tests.support.certificates import Certificate, self_signed
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import Mailworker, written_pid
from tests.support.refusing import numbers

# What `strace -f -c` counts over a start, logins, a reload, a change of the binary and the end. Left out are execve(2),
# by which all begins, and getpid(2), which has no errors: its -1 in a pid file would be every process of the machine to
# whoever signals it.
CALLS = [
    "accept4", "access", "arch_prctl", "bind", "brk", "clone", "clone3", "close", "connect", "dup2",
    "epoll_create1", "epoll_ctl", "epoll_wait", "fchown", "fcntl", "fstat", "futex", "getcwd", "getdents64",
    "geteuid", "getppid", "getrandom", "getsockname", "getsockopt", "gettid", "getuid", "ioctl",
    "kill", "listen", "lseek", "madvise", "memfd_create", "mmap", "mprotect", "munmap", "newfstatat", "openat",
    "pipe2", "prctl", "pread64", "prlimit64", "read", "readlink", "readlinkat", "recvfrom", "recvmsg", "rename",
    "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sendmsg", "sendto",
    "set_robust_list", "set_tid_address", "setgid", "setgroups", "setsockopt", "setuid", "shutdown", "socket",
    "socketpair", "splice", "sysinfo", "uname", "unlink", "wait4", "write",
]  # fmt: skip
# Those that have a plainer way, or that something must be said about; all in the long form.
SHORT = [
    ("accept4", "ENOSYS"), ("clone3", "EPERM"), ("madvise", "EPERM"), ("memfd_create", "ENOSYS"), ("pipe2", "ENOSYS"),
    ("rt_sigtimedwait", "ENOSYS"), ("setsockopt", "EPERM"),
]  # fmt: skip
ALL = [(call, error) for call in CALLS for error in ("EPERM", "ENOSYS")]
CHOSEN = ALL if os.environ.get("MAILWORKER_REFUSED_CALLS") == "all" else SHORT
# Calls without which nothing is made that we could do otherwise: the program runs and serves as if nothing were.
UNNEEDED = {"accept4", "clone3", "madvise", "memfd_create"}
# Without these the loader, the interpreter or a library ends in its own way, be it in silence, before it comes to us.
INTERPRETER = {"fcntl", "getdents64", "lseek", "mmap", "prlimit64", "write"}
# Without these a master cannot tell workers to go, or does not learn that they have gone: it says so, but stays.
UNSTOPPABLE = {"kill", "wait4"}
# Lines that say what is wrong: graver ones, and those of sessions that name the error.
TELLING = r"\[(error|crit|alert|emerg)\]|\((1|38): "
GRACE = 4.0  # seconds after such a line in which things may go well all the same, where they need not

pytestmark = pytest.mark.skipif(LIBC is None or os.geteuid() != 0, reason="needs Linux's seccomp, as root")


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    peers = Peers()
    yield peers
    peers.kill()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"), "server", "/CN=mail.example")


class Trial:
    """A mailworker that lacks a system call; each step says whether it went well, or else that it was told why."""

    def __init__(self, mailworker: Mailworker, doors: list[Door], call: str, error: str) -> None:
        self.mailworker, self.doors, self.call = mailworker, doors, call
        refusing = [
            sys.executable,
            "-m",
            "tests.support.refusing",
            ",".join(str(numbers()[name]) for name in call.split("+")),
            error,
        ]
        self._output = (mailworker.folder / "output").open("wb")
        self.process = subprocess.Popen(
            [*refusing, *mailworker.command("-g", "daemon off;")],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )
        self._told = 0

    def goes_well(self, what: Callable[[], bool]) -> bool:
        """Wait for `what`; False where it is told, or the process ends, instead. Neither is a failure of the test."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if what():
                return True
            if not self.masters:
                assert self.process.returncode != 0, self.story
                assert self.story.strip() or self.call in INTERPRETER, "it has ended without a word"
                return False
            if self.call not in UNNEEDED and len(re.findall(TELLING, self.story)) > self._told:
                end = min(end, time.monotonic() + GRACE)
            time.sleep(0.05)
        told = len(re.findall(TELLING, self.story))
        assert told > self._told, f"it hangs and says nothing\n{self.story}"
        self._told = told
        return False

    @property
    def story(self) -> str:
        """All that it has said."""
        log = self.mailworker.error_log
        return (self.mailworker.folder / "output").read_text() + (log.read_text() if log.exists() else "")

    def served(self) -> bool:
        """Whether clients can log in and use the relay."""
        return asyncio.run(self._use_all_doors())

    async def _use_all_doors(self) -> bool:
        with suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            for door in self.doors:
                with connecting(Client(door, "somebody")) as client:
                    if await asyncio.wait_for(client.log_in(), 3) is not Outcome.LOGGED_IN:
                        return False
                    await asyncio.wait_for(client.echo("hello"), 3)
            return True
        return False

    def reload(self) -> Callable[[], bool]:
        """Read the configuration again; what is given tells whether that is done."""
        old = set(self._workers())
        self.send(signal.SIGHUP)
        return lambda: bool(set(self._workers()) - old)

    def upgrade(self) -> Callable[[], bool]:
        """Change the binary; what is given tells whether that is done. Then the old one leaves."""
        old = written_pid(self.mailworker.pid_file)
        self.send(signal.SIGUSR2)

        def done() -> bool:
            if written_pid(self.mailworker.pid_file) in (None, old) or not self._workers():
                return False
            for master in self.masters:
                if master.pid == old:
                    send(master, signal.SIGQUIT)
            return True

        return done

    def _workers(self) -> list[int]:
        with suppress(psutil.Error, AssertionError):
            return [worker.pid for worker in self.mailworker.workers()]
        return []

    @property
    def masters(self) -> list[psutil.Process]:
        """Those that run, of whom there may be two."""
        pids = {written_pid(path) for path in (self.mailworker.pid_file, self.mailworker.old_pid_file)}
        found = [process for process in map(self._ours, pids - {self.process.pid}) if process is not None]
        return [psutil.Process(self.process.pid), *found] if self.process.poll() is None else found

    def _ours(self, pid: int | None) -> psutil.Process | None:
        with suppress(psutil.Error):
            process = psutil.Process(pid) if pid is not None else None
            if process is not None and str(self.mailworker.folder) in " ".join(process.cmdline()):
                return process
        return None

    def send(self, number: Signals) -> None:
        """Send a signal to the master in the pid file, if it runs."""
        pid = written_pid(self.mailworker.pid_file)
        for master in self.masters:
            if master.pid == pid:
                send(master, number)

    def stop(self, number: Signals) -> list[psutil.Process]:
        """End all; returns those who are deaf and had to be killed."""
        family = [process for master in self.masters for process in (master, *master.children(recursive=True))]
        for master in self.masters:
            send(master, number)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and any(map(runs, family)):
            self.process.poll()
            time.sleep(0.05)
        deaf = [process for process in family if runs(process)]
        for process in deaf:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        self._output.close()
        return deaf


def send(process: psutil.Process, number: Signals) -> None:
    """Signal this very process, if it runs still."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, folder: Path, ports: Ports, peers: Peers, certificate: Certificate
) -> Iterator[Trial]:
    call, error, *main = request.param
    doors = [Door("imap", ports[str(secure)], secure) for secure in (False, True)]
    text = configuration_of(peers.auth_port, doors, certificate, Extra(main[0] if main else "", "", "10s", "info", ""))
    trial = Trial(Mailworker(folder, text), doors, call, error)
    try:
        yield trial
    finally:
        trial.stop(signal.SIGKILL)


@pytest.mark.parametrize("trial", CHOSEN, ids="-".join, indirect=True)
def test_a_refused_call_is_done_without_or_told(trial: Trial) -> None:
    fine = trial.goes_well(trial.served)
    for change in (trial.reload, trial.upgrade):
        fine = fine and trial.goes_well(change()) and trial.goes_well(trial.served)
    assert fine or trial.call not in UNNEEDED, trial.story
    assert trial.stop(signal.SIGTERM) == [] or trial.call in UNSTOPPABLE, trial.story
    assert "Traceback" not in trial.story or trial.call in INTERPRETER, trial.story


@pytest.mark.parametrize("trial", [("accept4+accept", "EPERM")], ids="-".join, indirect=True)
def test_a_worker_that_cannot_accept_says_so_and_ends(trial: Trial) -> None:
    refused = r"\[emerg\] (\d+)#\d+: accept\(\) failed \(1: Operation not permitted\)\n"
    given_up = r"\[alert\] .* exited with fatal code 2 and cannot be respawned\n"
    assert trial.goes_well(lambda: all(re.search(line, trial.story) for line in (refused, given_up))), trial.story
    assert trial.stop(signal.SIGTERM) == [], trial.story


@pytest.mark.parametrize("trial", [("accept4+accept", "EPERM", "master_process off;")], ids="-".join, indirect=True)
def test_a_single_process_that_cannot_accept_says_so_and_ends(trial: Trial) -> None:
    assert not trial.goes_well(trial.served)
    assert trial.process.returncode == 1
    assert "mailworker: [emerg] accept() failed (1: Operation not permitted)\n" in trial.story
    assert "Traceback" not in trial.story


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM", "ENOMEM"])
def test_megabytes_are_copied_where_the_system_refuses_to_splice(error: str) -> None:
    """Each session with more than 64 KB at a time was ended."""
    refusing = [sys.executable, "-m", "tests.support.refusing", str(numbers()["splice"]), error]
    test = "tests/event/test_relay.py::test_megabytes_arrive_byte_for_byte_through_small_buffers"
    testing = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "plain and not TLS", test]
    root = Path(__file__).parents[2]
    run = subprocess.run([*refusing, *testing], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
