"""What whoever starts us may leave behind: signals, umask, descriptors, a folder that is gone. On the real binary."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mailworker.process.system.inherited_state import announced, foreign_descriptors, inherited
from tests.process.conftest import Install
from tests.support.patience import PATIENCE
from tests.support.process import BINARY, GREETING, Mailworker, configuration, greeting, opened

FOREGROUND = ("-g", "daemon off;")
STANDARD = (0, 1, 2)

# Does to itself what a careless supervisor would, and then becomes the command.
CARELESS = "import os, signal, sys; exec(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
IGNORE_ALL = "[signal.signal(n, signal.SIG_IGN) for n in signal.valid_signals() - {9, 19}]"
BLOCK_ALL = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no /proc here")


def start_carelessly(mailworker: Mailworker, careless: str) -> None:
    """Start a daemon after `careless`."""
    command = [sys.executable, "-c", CARELESS, careless, *mailworker.command()]
    started = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert (started.returncode, started.stdout, started.stderr) == (0, b"", b"")


def status(pid: int, name: str, base: int) -> int:
    """A number of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], base) for line in lines if line.startswith(f"{name}:"))


def descriptor(pid: int, number: int) -> str:
    return str(Path(f"/proc/{pid}/fd/{number}").readlink())


@pytest.mark.parametrize(
    "careless",
    ["signal.signal(signal.SIGCHLD, signal.SIG_IGN)", f"{IGNORE_ALL}; {BLOCK_ALL}"],
    ids=["SIGCHLD ignored", "all ignored and blocked"],
)
def test_with_inherited_signals_workers_are_replaced_and_all_obey(install: Install, port: int, careless: str) -> None:
    mailworker = install(configuration(port))
    mailworker.alerts.append("exited on signal (9|11)")
    start_carelessly(mailworker, careless)
    for number in (signal.SIGKILL, signal.SIGSEGV):
        (victim,) = mailworker.await_workers(1)
        os.kill(victim, number)
        mailworker.await_workers(1, without=[victim])
        assert greeting(port) == GREETING
    old, new = mailworker.upgrade()
    family = [psutil.Process(pid) for pid in (old, new)]
    os.kill(old, signal.SIGQUIT)
    os.kill(new, signal.SIGTERM)
    assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []


def test_dispositions_and_masks_are_the_same_whoever_starts_us(install: Install, port: int) -> None:
    found = []
    for careless in ("", f"{IGNORE_ALL}; {BLOCK_ALL}"):
        mailworker = install(configuration(port))
        start_carelessly(mailworker, careless)
        master, (worker,) = mailworker.pid, mailworker.await_workers(1)
        found.append([status(pid, name, 16) for pid in (master, worker) for name in ("SigBlk", "SigIgn", "SigCgt")])
        mailworker.stop()
    assert found[0] == found[1]


def test_a_signal_that_comes_during_the_start_waits_for_its_end(install: Install, port: int) -> None:
    mailworker = install(configuration(port))
    raised = "; ".join(f"os.kill(os.getpid(), signal.{name})" for name in ("SIGHUP", "SIGUSR1", "SIGALRM"))
    command = [sys.executable, "-c", CARELESS, f"{BLOCK_ALL}; {raised}", *mailworker.command(*FOREGROUND)]
    with subprocess.Popen(command) as process:
        try:
            mailworker.await_true(mailworker.pid_file.exists, "start")
            mailworker.await_line(r"signal 1 \(SIGHUP\) received from \d+, reconfiguring$")
            mailworker.await_line(r"signal 10 \(SIGUSR1\) received from \d+, reopening logs$")
            assert greeting(port) == GREETING
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.mark.parametrize("inherited", [0, 0o002, 0o077])
def test_a_daemon_lets_nobody_write_to_what_it_makes(install: Install, port: int, inherited: int) -> None:
    mailworker = install(configuration(port))
    start_carelessly(mailworker, f"os.umask({inherited})")
    for pid in (mailworker.pid, *mailworker.await_workers(1)):
        assert status(pid, "Umask", 8) == 0o022
    assert mailworker.pid_file.stat().st_mode & 0o777 == 0o644
    assert not mailworker.error_log.stat().st_mode & 0o022


@pytest.mark.parametrize(("inherited", "kept"), [(0, 0o022), (0o002, 0o022), (0o027, 0o027), (0o077, 0o077)])
def test_in_the_foreground_a_stricter_umask_stays(install: Install, port: int, inherited: int, kept: int) -> None:
    mailworker = install(configuration(port))
    before = os.umask(inherited)
    try:
        mailworker.start()
    finally:
        os.umask(before)
    for pid in (mailworker.pid, *mailworker.await_workers(1)):
        assert status(pid, "Umask", 8) == kept


class Copy(Mailworker):
    """Runs a fresh copy of the package, in which there is no bytecode."""

    def __init__(self, folder: Path, text: str) -> None:
        super().__init__(folder, text)
        self.program = folder / "opt"
        for name in ("bin", "mailworker"):
            source, ignored = BINARY.parents[1] / name, shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, self.program / name, ignore=ignored)

    def command(self, *arguments: str) -> list[str]:
        return [self.interpreter, str(self.program / "bin" / "mailworker"), "-p", str(self.folder), *arguments]


def test_nobody_else_can_write_beside_the_program(folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # which would hide what is looked for
    mailworker = Copy(folder, configuration(port))
    before = set(mailworker.program.rglob("*"))
    try:
        start_carelessly(mailworker, "os.umask(0)")
        workers = mailworker.await_workers(1)
        mailworker.signal(signal.SIGHUP)
        mailworker.await_workers(1, without=workers)
        old, _ = mailworker.upgrade()
        os.kill(old, signal.SIGQUIT)
        mailworker.await_true(lambda: not mailworker.old_pid_file.exists(), "the old master's end")
        assert mailworker.run("-t").returncode == mailworker.run("-s", "reload").returncode == 0
        mailworker.await_line("start worker processes$", 4)
        made = [*mailworker.program.rglob("*"), *(folder / "logs").iterdir()]
        assert [path for path in made if path.stat().st_mode & 0o002] == []
        assert set(mailworker.program.rglob("*")) == before  # not even root writes bytecode
    finally:
        mailworker.stop()


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), STANDARD], ids=str)
@pytest.mark.parametrize("arguments", [(), FOREGROUND], ids=["daemon", "foreground"])
@pytest.mark.parametrize("main", ["", "master_process off;"], ids=["master", "single"])
def test_closed_standard_streams_are_no_obstacle(
    install: Install, port: int, closed: tuple[int, ...], arguments: tuple[str, ...], main: str
) -> None:
    mailworker = install(configuration(port, main=main))
    close = "; ".join(f"os.close({number})" for number in closed)
    command = [sys.executable, "-c", CARELESS, close, *mailworker.command(*arguments)]
    output = mailworker.folder / "output"
    with output.open("wb") as stream, subprocess.Popen(command, stdin=stream, stdout=stream, stderr=stream) as process:
        try:
            mailworker.await_true(mailworker.pid_file.exists, "start")
            mailworker.await_true(lambda: bool(mailworker.workers()) or bool(main), "the first worker")
            assert greeting(port) == GREETING
            for pid in {mailworker.pid, *(worker.pid for worker in mailworker.workers())}:
                expected = {"/dev/null", str(mailworker.error_log), str(output)}
                assert {descriptor(pid, number) for number in STANDARD} <= expected
                assert not any(descriptor(pid, number) == str(output) for number in closed)
            assert mailworker.run("-s", "stop").returncode == 0
            assert process.wait(PATIENCE) == 0
            mailworker.await_true(lambda: not mailworker.pid_file.exists(), "the end")
        finally:
            if process.poll() is None:
                process.kill()
    assert output.read_bytes() == b""


def test_workers_have_no_descriptor_that_nobody_meant_for_them(install: Install, port: int, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("for root")
    mailworker = install(configuration(port))
    with secret.open() as file:
        os.set_inheritable(file.fileno(), True)
        command = mailworker.command(*FOREGROUND)
        process = subprocess.Popen(command, pass_fds=[file.fileno()])
    try:
        mailworker.await_true(mailworker.pid_file.exists, "start")
        (worker,) = mailworker.await_workers(1)
        assert greeting(port) == GREETING

        assert str(secret) in opened(mailworker.pid)  # it may be a lock of whoever started us
        assert str(secret) not in opened(worker)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("environment", "spared"),
    [
        (lambda number: {}, False),
        (lambda number: {"MAILWORKER": f"{number};"}, True),
        (lambda number: {"MAILWORKER_FORMER": f"{number}"}, True),
        (lambda number: {"MAILWORKER_ZONES": f"{number};"}, True),
        (lambda number: {"LISTEN_FDS": str(number - 2), "LISTEN_PID": str(os.getpid())}, True),
        (lambda number: {"LISTEN_FDS": str(number - 2), "LISTEN_PID": "1"}, False),
        (lambda number: {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())}, False),
        (lambda number: {"LISTEN_FDS": "9" * 5000, "LISTEN_PID": str(os.getpid())}, False),
        (lambda number: {"LISTEN_FDS": "9" * 18, "LISTEN_PID": str(os.getpid())}, True),
        (
            lambda number: dict.fromkeys(
                ("MAILWORKER", "MAILWORKER_FORMER", "MAILWORKER_TURN", "MAILWORKER_ZONES"), "9" * 5000
            ),
            False,
        ),
    ],
)
def test_descriptors_are_foreign_unless_somebody_announces_them(
    environment: Callable[[int], dict[str, str]], spared: bool
) -> None:
    with Path(os.devnull).open() as file:
        number = file.fileno()
        foreign = foreign_descriptors(environment(number))
        assert (number not in foreign) is spared
        assert foreign_descriptors({})
        assert not set(STANDARD).intersection(foreign)


def test_a_working_directory_that_is_gone_is_needed_by_nothing_absolute(
    install: Install, port: int, tmp_path: Path
) -> None:
    mailworker = install(configuration(port))
    gone = tmp_path / "gone"
    gone.mkdir()
    start_carelessly(mailworker, f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})")
    first = mailworker.await_workers(1)
    assert str(Path(f"/proc/{mailworker.pid}/cwd").readlink()) == f"{gone} (deleted)"
    without = f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})"
    for arguments in (("-t",), ("-s", "reload")):
        gone.mkdir(exist_ok=True)
        command = [sys.executable, "-c", CARELESS, without, *mailworker.command(*arguments)]
        assert subprocess.run(command, timeout=PATIENCE, check=False).returncode == 0
    mailworker.await_workers(1, without=first)
    mailworker.upgrade()
    assert greeting(port) == GREETING


def test_a_relative_prefix_in_a_folder_that_is_gone_is_refused_as_by_nginx(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    without = f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})"
    command = [sys.executable, "-c", CARELESS, without, sys.executable, str(BINARY), "-p", "here"]
    refused = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    message = b"mailworker: [emerg]: getcwd() failed (2: No such file or directory)\n"
    assert (refused.returncode, refused.stderr) == (1, message)


def test_a_socket_is_announced_until_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, announced(theirs, "LINK") as environment:
        assert environment == {"LINK": str(theirs.fileno())}
        assert theirs.get_inheritable()
    assert theirs.fileno() == -1


def test_the_announced_socket_is_not_inherited_any_further() -> None:
    ours, theirs = socket.socketpair()
    passed = os.dup(theirs.fileno())
    os.set_inheritable(passed, True)
    with ours, theirs:
        link = inherited(str(passed))
        assert link is not None
        with link:
            assert not link.get_inheritable()
            ours.send(b"x")
            assert link.recv(1) == b"x"


@pytest.mark.parametrize("value", ["", "x", "-1", "1000000", "9" * 18, "9" * 30])
def test_what_names_no_socket_is_none(value: str) -> None:
    assert inherited(value) is None
