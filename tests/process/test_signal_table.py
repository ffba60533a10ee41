"""nginx's table of signals, row by row, on the real binary: what the log says, and who goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from signal import Signals

import psutil
import pytest

from tests.process.conftest import Install
from tests.support.daemon import wait_until
from tests.support.process import GREETING, Mailworker, configuration, greeting, refuses, title


@pytest.fixture(params=[True, False], ids=["daemon", "foreground"])
def master(request: pytest.FixtureRequest, install: Install, port: int) -> Mailworker:
    """One worker, which serves IMAP on `port`."""
    mailworker = install(configuration(port))
    if request.param:
        mailworker.start_daemon()
    else:
        mailworker.start()
    mailworker.await_workers(1)
    return mailworker


@pytest.fixture
def daemon(install: Install, port: int) -> Mailworker:
    mailworker = install(configuration(port))
    mailworker.start_daemon()
    mailworker.await_workers(1)
    return mailworker


def send(mailworker: Mailworker, pid: int, number: Signals, action: str) -> None:
    """Send a signal and wait for the log's line; workers do not know the sender."""
    sender = f" from {os.getpid()}" if pid == mailworker.pid else ""
    os.kill(pid, number)
    line = rf"\[notice\] {pid}#{pid}: signal {number.value} \({number.name}\) received{sender}{action}$"
    mailworker.await_line(line)


def send_until_logged(mailworker: Mailworker, pid: int, number: Signals, rest: str = "") -> None:
    """Where the system has sent it as well, SIGALRM for a timeout and SIGIO for a message, one swallows the other."""

    def is_logged() -> bool:
        os.kill(pid, number)
        return bool(mailworker.lines(rf"{pid}#{pid}: signal {number.value} \({number.name}\) received{rest}"))

    mailworker.await_true(is_logged, f"the line about {number.name}")


def await_end(*processes: psutil.Process) -> None:
    wait_until(lambda: not any(process.is_running() for process in processes), f"the end of {processes}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_master_term_int(daemon: Mailworker, number: Signals) -> None:
    family = [psutil.Process(daemon.pid), *daemon.workers()]
    send(daemon, daemon.pid, number, ", exiting")
    await_end(*family)
    assert not daemon.pid_file.exists()


def test_master_quit(daemon: Mailworker) -> None:
    family = [psutil.Process(daemon.pid), *daemon.workers()]
    send(daemon, daemon.pid, signal.SIGQUIT, ", shutting down")
    await_end(*family)
    assert daemon.lines("gracefully shutting down$")


def test_master_hup(master: Mailworker, port: int) -> None:
    old = master.await_workers(1)
    send(master, master.pid, signal.SIGHUP, ", reconfiguring")
    master.await_workers(1, without=old)
    assert greeting(port) == GREETING


def test_master_usr1(master: Mailworker) -> None:
    send(master, master.pid, signal.SIGUSR1, ", reopening logs")
    master.await_line(r"reopening logs$", 3)  # the signal and the deed of the master, and the worker's deed


def test_master_usr2(master: Mailworker, port: int) -> None:
    old = master.pid
    send(master, old, signal.SIGUSR2, ", changing binary")
    master.await_true(lambda: master.old_pid_file.exists() and master.pid_file.exists(), "two masters")
    master.await_workers(1)
    assert int(master.old_pid_file.read_text()) == old
    assert greeting(port) == GREETING


def test_master_winch_of_a_daemon(daemon: Mailworker) -> None:
    send(daemon, daemon.pid, signal.SIGWINCH, ", stop accepting connections")
    daemon.await_workers(0)
    assert psutil.Process(daemon.pid).is_running()


def test_master_winch_in_the_foreground(running: Mailworker, port: int) -> None:
    before = running.await_workers(2)
    send(running, running.pid, signal.SIGWINCH, "")
    assert greeting(port) == GREETING
    assert running.await_workers(2) == before


def test_master_chld(master: Mailworker, port: int) -> None:
    (victim,) = master.await_workers(1)
    os.kill(victim, signal.SIGTERM)
    master.await_workers(1, without=[victim])
    assert master.lines(rf"signal 17 \(SIGCHLD\) received from {victim}$")
    assert greeting(port) == GREETING


# All 31 signals, each in one of these; what nginx ignores is among IGNORED, and so is what would end an nginx that has
# no use for it. Helpers that a master starts have the same table as a worker.
IGNORED = (
    signal.SIGPIPE, signal.SIGSYS, signal.SIGURG, signal.SIGCONT, signal.SIGVTALRM, signal.SIGPROF, signal.SIGPWR,
    signal.SIGXCPU, signal.SIGXFSZ, 16,  # which is SIGSTKFLT, and has no name before Python 3.11
)  # fmt: skip
LOGGED = {
    "master": (signal.SIGALRM, signal.SIGIO, signal.SIGCHLD),
    "worker": (
        signal.SIGALRM, signal.SIGIO, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU,
    ),
    "single": (
        signal.SIGALRM, signal.SIGIO, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU,
        signal.SIGWINCH,
    ),
}  # fmt: skip
UNLOGGED = {"master": IGNORED, "worker": (*IGNORED, signal.SIGCHLD), "single": (*IGNORED, signal.SIGCHLD)}
OBEYED = {
    # SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGTTIN and SIGTTOU of a master have tests of their own.
    "master": (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU),
    "worker": (signal.SIGWINCH,),
    "single": (),
}
STOPPING = (signal.SIGSTOP, signal.SIGTSTP)
LEAVING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
ENDING = (
    signal.SIGKILL, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV,
)  # fmt: skip
ROLES = ("master", "worker", "single")


def start_as(role: str, mailworker: Mailworker) -> psutil.Process:
    """Start in the foreground; returns the process of this role."""
    mailworker.start()
    if role == "single":
        wait_until(lambda: title(psutil.Process(mailworker.pid)).startswith("mailworker: "), "the title")
        return psutil.Process(mailworker.pid)
    (worker,) = mailworker.await_workers(1)
    return psutil.Process(worker if role == "worker" else mailworker.pid)


def role_configuration(role: str, port: int) -> str:
    return configuration(port, main="master_process off;" if role == "single" else "")


@pytest.mark.parametrize("role", ROLES)
def test_each_of_the_31_signals_has_its_place(role: str) -> None:
    table = [*LOGGED[role], *UNLOGGED[role], *OBEYED[role], *STOPPING, *LEAVING, *ENDING]
    assert sorted(table) == list(range(1, 32))


@pytest.mark.parametrize("role", ROLES)
def test_signals_that_mean_nothing_end_nobody(install: Install, port: int, role: str) -> None:
    mailworker = install(role_configuration(role, port))
    process = start_as(role, mailworker)
    reals = (signal.SIGRTMIN, signal.SIGRTMIN + 1, signal.SIGRTMAX)
    for number in (*UNLOGGED[role], *reals):
        os.kill(process.pid, number)
    for number in LOGGED[role]:
        send_until_logged(mailworker, process.pid, number)
    assert greeting(port) == GREETING
    assert process.is_running()
    assert role == "single" or len(mailworker.lines("start worker process ")) == 1


def stops_anybody(number: Signals) -> bool:
    """Whether it stops a process that does nothing about it: no signal of terminals does in an orphaned group."""
    with subprocess.Popen(["sleep", "60"]) as idle:
        process = psutil.Process(idle.pid)
        wait_until(lambda: process.name() == "sleep", "the program's start")
        os.kill(idle.pid, number)
        try:
            wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "the stop", timeout=1.0)
        except TimeoutError:
            return False
        finally:
            idle.kill()
    return True


@pytest.mark.parametrize("role", ROLES)
def test_a_process_that_is_stopped_goes_on_when_it_may(install: Install, port: int, role: str) -> None:
    mailworker = install(role_configuration(role, port))
    process = start_as(role, mailworker)
    for number in STOPPING:
        os.kill(process.pid, number)
        if number == signal.SIGSTOP or stops_anybody(number):
            wait_until(lambda: process.status() == psutil.STATUS_STOPPED, f"{number.name}'s effect")
        os.kill(process.pid, signal.SIGCONT)
        wait_until(lambda: process.status() != psutil.STATUS_STOPPED, "SIGCONT's effect")
        assert greeting(port) == GREETING


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
@pytest.mark.parametrize("role", ROLES)
def test_faults_end_a_process(install: Install, port: int, role: str, number: Signals) -> None:
    mailworker = install(role_configuration(role, port))
    mailworker.alerts += [rf"exited on signal {number.value}( \(core dumped\))?$", "master process is gone"]
    process = start_as(role, mailworker)
    os.kill(process.pid, number)
    if role == "worker":
        mailworker.await_workers(1, without=[process.pid])
        assert greeting(port) == GREETING
    else:
        assert mailworker.await_exit() == -number
        wait_until(lambda: refuses(port), "the port's release")


@pytest.mark.parametrize("number", LEAVING)
def test_single_term_int_quit(install: Install, port: int, number: Signals) -> None:
    mailworker = install(role_configuration("single", port))
    process = start_as("single", mailworker)
    os.kill(process.pid, number)
    assert mailworker.await_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGIO])
def test_master_alrm_io(master: Mailworker, port: int, number: Signals) -> None:
    send_until_logged(master, master.pid, number, rf" from {os.getpid()}$")
    assert greeting(port) == GREETING


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGSYS])
def test_master_pipe_sys(master: Mailworker, port: int, number: Signals) -> None:
    before = master.await_workers(1)
    master.signal(number)
    send(master, master.pid, signal.SIGUSR1, ", reopening logs")
    assert master.await_workers(1) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_term_int(master: Mailworker, number: Signals) -> None:
    (victim,) = master.await_workers(1)
    send(master, victim, number, ", exiting")
    master.await_workers(1, without=[victim])


def test_worker_quit(master: Mailworker) -> None:
    (victim,) = master.await_workers(1)
    send(master, victim, signal.SIGQUIT, ", shutting down")
    master.await_line(rf"{victim}#{victim}: gracefully shutting down$")
    master.await_workers(1, without=[victim])


def test_worker_usr1(master: Mailworker) -> None:
    (worker,) = master.await_workers(1)
    send(master, worker, signal.SIGUSR1, ", reopening logs")
    assert master.await_workers(1) == [worker]


def test_worker_winch_of_a_daemon(daemon: Mailworker) -> None:
    (victim,) = daemon.await_workers(1)
    send(daemon, victim, signal.SIGWINCH, ", shutting down")
    daemon.await_workers(1, without=[victim])


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2, signal.SIGIO])
def test_worker_hup_usr2_io(master: Mailworker, port: int, number: Signals) -> None:
    (worker,) = master.await_workers(1)
    send(master, worker, number, ", ignoring")
    assert greeting(port) == GREETING
    assert master.await_workers(1) == [worker]


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGSYS])
def test_worker_pipe_sys(master: Mailworker, port: int, number: Signals) -> None:
    (worker,) = master.await_workers(1)
    os.kill(worker, number)
    assert greeting(port) == GREETING
    assert master.await_workers(1) == [worker]
