"""A system that lets nobody start a process for a while, on the real binary."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sysconfig
from pathlib import Path

import psutil
import pytest

from tests.process.conftest import Install
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import GREETING, Mailworker, configuration, greeting

REFUSED = r'fork\(\) failed while spawning "worker process" '
TEXTS = {"EAGAIN": r"\(11: Resource temporarily unavailable\)$", "ENOMEM": r"\(12: Cannot allocate memory\)$"}

# fork() as it is where a limit of processes is reached: it fails as long as a file exists; one of these files is for
# workers alone, which a socketpair() goes before. Another one lets socketpair() fail, as a limit of descriptors does.
REFUSING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

static int linked;

int socketpair(int domain, int type, int protocol, int ends[2])
{
    int (*real)(int, int, int, int *) = (int (*)(int, int, int, int *))dlsym(RTLD_NEXT, "socketpair");
    if (access(REFUSES "/EMFILE", F_OK) == 0) {
        errno = EMFILE;
        return -1;
    }
    linked = 1;
    return real(domain, type, protocol, ends);
}

pid_t fork(void)
{
    pid_t (*real)(void) = (pid_t (*)(void))dlsym(RTLD_NEXT, "fork");
    int worker = linked;
    linked = 0;
    if (access(REFUSES "/EAGAIN", F_OK) == 0 || (worker && access(REFUSES "/workers", F_OK) == 0)) {
        errno = EAGAIN;
        return -1;
    }
    if (access(REFUSES "/ENOMEM", F_OK) == 0) {
        errno = ENOMEM;
        return -1;
    }
    return real();
}
"""


class Refusal:
    """Files that decide whether fork() works."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, name: str) -> None:
        (self._folder / name).touch()

    def end(self) -> None:
        for path in self._folder.iterdir():
            path.unlink()


@pytest.fixture
def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """What starts from now on can be refused new processes."""
    files = folder / "refuses"
    files.mkdir()
    source, library = folder / "refusing.c", folder / "refusing.so"
    source.write_text(REFUSING)
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    command = [*compiler, "-shared", "-fPIC", f'-DREFUSES="{files}"', "-o", library, source, "-ldl"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return Refusal(files)


@pytest.fixture
def mailworker(install: Install, port: int, refusal: Refusal) -> Mailworker:
    """Two workers that serve on `port`, whose master has no luck when `refusal` begins."""
    made = install(configuration(port, main="worker_processes 2;"))
    made.alerts += [REFUSED, "exited on signal 9$"]
    return made


@pytest.mark.parametrize("name", TEXTS)
def test_a_worker_that_has_died_is_replaced_as_soon_as_it_can_be(
    mailworker: Mailworker, port: int, refusal: Refusal, name: str
) -> None:
    mailworker.start()
    workers = mailworker.await_workers(2)
    refusal.begin(name)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    mailworker.await_line(REFUSED + TEXTS[name], 3)
    refusal.end()
    mailworker.await_workers(2, without=workers)
    assert greeting(port) == GREETING
    again = r"try again to start worker processes after (\d+)ms, refused (\d+) times?$"
    tries = [re.search(again, line) for line in mailworker.lines(again)]
    assert [(int(found[1]), int(found[2])) for found in tries if found][:3] == [(250, 1), (500, 2), (1000, 3)]


def test_a_master_without_descriptors_replaces_a_worker_as_soon_as_it_has_one(install: Install, port: int) -> None:
    mailworker = install(configuration(port))
    mailworker.alerts += ["socketpair", "exited on signal 9$"]
    mailworker.start()
    (worker,) = mailworker.await_workers(1)
    _, most = resource.prlimit(mailworker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(mailworker.pid, resource.RLIMIT_NOFILE, (3, most))
    os.kill(worker, signal.SIGKILL)
    mailworker.await_line(r'socketpair\(\) failed while spawning "worker process" \(24: Too many open files\)$', 2)
    resource.prlimit(mailworker.pid, resource.RLIMIT_NOFILE, (most, most))
    mailworker.await_workers(1, without=[worker])
    assert greeting(port) == GREETING


def test_old_workers_serve_until_new_ones_do(mailworker: Mailworker, port: int, refusal: Refusal) -> None:
    mailworker.start()
    old = mailworker.await_workers(2)
    refusal.begin("workers")
    for count in (1, 2):  # a second reload changes nothing about that
        mailworker.signal(signal.SIGHUP)
        mailworker.await_line("start worker processes$", count + 1)
    mailworker.await_line(REFUSED, 3)
    assert mailworker.await_workers(2) == old
    assert not mailworker.lines("gracefully shutting down$")
    assert greeting(port) == GREETING
    refusal.end()
    mailworker.await_workers(2, without=old)
    assert greeting(port) == GREETING
    assert mailworker.lines("gracefully shutting down$")


def test_a_reload_that_nobody_can_read_the_configuration_for_is_refused(
    mailworker: Mailworker, port: int, refusal: Refusal
) -> None:
    mailworker.start()
    old = mailworker.await_workers(2)
    refusal.begin("EAGAIN")
    mailworker.signal(signal.SIGHUP)
    mailworker.await_line(r"\[emerg\] .*: fork\(\) failed while reading the configuration " + TEXTS["EAGAIN"])
    assert mailworker.await_workers(2) == old
    assert greeting(port) == GREETING


def test_a_start_waits_for_its_workers(mailworker: Mailworker, port: int, refusal: Refusal) -> None:
    refusal.begin("EAGAIN")
    mailworker.start()
    mailworker.await_line(REFUSED, 2)
    refusal.end()
    mailworker.await_workers(2)
    assert greeting(port) == GREETING


@pytest.mark.parametrize("more", ["", "status { listen 127.0.0.1:0; }"])
def test_a_start_fails_where_there_are_too_few_descriptors_for_a_worker(
    install: Install, ports: Ports, refusal: Refusal, more: str
) -> None:
    more = more.replace(":0;", f":{ports['status']};")
    mailworker = install(configuration(ports["first"], main=f"worker_processes 2; {more}"))
    mailworker.alerts.append("socketpair")
    refusal.begin("EMFILE")
    started = mailworker.run()
    message = b"mailworker: [emerg] no worker process could start, the error log says more\n"
    assert (started.returncode, started.stderr) == (1, message)
    assert len(mailworker.lines(r"socketpair\(\) failed while spawning .* \(24: Too many open files\)$")) == 1
    mailworker.await_true(lambda: not mailworker.pid_file.exists(), "the master's end")


def test_a_master_without_workers_can_be_told_to_go(mailworker: Mailworker, refusal: Refusal) -> None:
    refusal.begin("EAGAIN")
    mailworker.start()
    mailworker.await_line(REFUSED)
    mailworker.signal(signal.SIGQUIT)
    assert mailworker.await_exit() == 0
    assert not mailworker.pid_file.exists()


def test_a_daemon_that_is_told_to_rest_before_it_serves_keeps_nobody_waiting(
    mailworker: Mailworker, port: int, refusal: Refusal
) -> None:
    """The parent waited for a worker until the daemon ended, whatever happened later."""
    refusal.begin("workers")
    with subprocess.Popen(mailworker.command(), stderr=subprocess.PIPE) as parent:
        mailworker.await_true(mailworker.pid_file.exists, "the daemon")
        mailworker.await_line(REFUSED)
        assert parent.poll() is None
        mailworker.signal(signal.SIGWINCH)
        assert parent.wait(PATIENCE) == 0
    refusal.end()
    mailworker.signal(signal.SIGHUP)
    mailworker.await_workers(2)
    assert greeting(port) == GREETING


def test_a_daemon_that_cannot_be_made_is_told_of(mailworker: Mailworker, refusal: Refusal) -> None:
    refusal.begin("EAGAIN")
    started = mailworker.run()
    message = b"mailworker: [emerg] fork() failed (11: Resource temporarily unavailable)\n"
    assert (started.returncode, started.stderr) == (1, message)
    assert not mailworker.pid_file.exists()


def test_old_workers_stay_where_new_ones_cannot_start(install: Install, port: int) -> None:
    mailworker = install(configuration(port))
    mailworker.alerts.append("cannot be respawned$")
    mailworker.start()
    old = mailworker.await_workers(1)
    mailworker.configure(configuration(port, main="working_directory /nowhere;"))
    mailworker.signal(signal.SIGHUP)
    mailworker.await_line("cannot be respawned$")
    mailworker.configure(configuration(port))
    assert greeting(port) == GREETING
    assert mailworker.await_workers(1) == old
    mailworker.signal(signal.SIGHUP)
    mailworker.await_workers(1, without=old)
    assert psutil.Process(mailworker.pid).children()
    assert greeting(port) == GREETING
