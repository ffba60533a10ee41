"""Reloads, upgrades and deaths while clients log in and others stay, on the real binary."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tests.process.conftest import Install
from tests.support.daemon import wait_until
from tests.support.load import Load
from tests.support.patience import PATIENCE
from tests.support.process import configuration, established, hold, refuses

# MAILWORKER_RELOADS=200 is the long form.
RELOADS = int(os.environ.get("MAILWORKER_RELOADS", "20"))
KILLS = int(os.environ.get("MAILWORKER_KILLS", "12"))
GROWTH = 1 << 20  # bytes that the master may grow by, in all


def text(port: int, load: Load) -> str:
    return configuration(port, main="worker_processes 2;", server=load.server)


def own_descriptors(master: psutil.Process) -> int:
    """How many the master has, but for a link to each of its workers: former ones stay as long as their sessions."""
    while True:
        children = master.children()
        found = master.num_fds() - len(children)
        if master.children() == children:
            return found


@pytest.mark.timeout(30 + RELOADS)
def test_reloads_disturb_nobody(install: Install, port: int) -> None:
    with Load(port) as load:
        mailworker = install(text(port, load))
        mailworker.start()
        load.start()
        master = psutil.Process(mailworker.pid)
        first = mailworker.await_workers(2)
        descriptors, memory = 0, 0
        for number in range(1, RELOADS + 1):
            mailworker.signal(signal.SIGHUP)
            mailworker.await_line("start worker processes$", number + 1)
            load.await_logins(2)
            if number == RELOADS // 4:
                descriptors, memory = own_descriptors(master), master.memory_info().rss
        assert load.failures == []
        # The first count may contain some of the former cycle. A descriptor that a reload leaves open is one for each.
        mailworker.await_true(lambda: own_descriptors(master) <= descriptors, "no more descriptors than before")
        assert master.memory_info().rss < memory + GROWTH
        load.await_exchanges(5)
        load.finish()
        assert load.failures == []
        last = mailworker.await_workers(2, without=first)
    # One that is shutting down is no worker for `await_workers`, but it is there a little longer.
    wait_until(lambda: set(last) == {child.pid for child in master.children(recursive=True)}, "the former workers' end")


def test_an_upgrade_and_a_rollback_disturb_nobody(install: Install, port: int) -> None:
    with Load(port) as load:
        mailworker = install(text(port, load))
        mailworker.start_daemon()
        load.start()
        old, new = mailworker.upgrade()
        load.await_logins(5)
        os.kill(old, signal.SIGWINCH)
        mailworker.await_line("gracefully shutting down$", 2)
        load.await_logins(5)
        os.kill(old, signal.SIGHUP)  # roll back
        mailworker.await_line("start worker processes$", 3)
        load.await_logins(5)
        os.kill(new, signal.SIGQUIT)
        mailworker.await_line("gracefully shutting down$", 4)
        load.await_logins(5)
        load.finish()
        assert load.failures == []
        wait_until(lambda: not psutil.pid_exists(new), "the new master's end")
        mailworker.await_true(lambda: not mailworker.old_pid_file.exists(), "the pid file's return")
        assert mailworker.pid == old


def test_an_upgrade_that_is_carried_through_disturbs_nobody(install: Install, port: int) -> None:
    with Load(port) as load:
        mailworker = install(text(port, load))
        mailworker.start_daemon()
        load.start()
        old, new = mailworker.upgrade()
        os.kill(old, signal.SIGQUIT)
        mailworker.await_line("gracefully shutting down$", 2)
        load.await_logins(10)
        assert psutil.pid_exists(old)  # its sessions go on
        load.finish()
        assert load.failures == []
        wait_until(lambda: not psutil.pid_exists(old), "the old master's end")
        assert mailworker.pid == new


def test_a_killed_worker_takes_only_its_own_sessions_along(install: Install, port: int) -> None:
    with Load(port, relays=6) as load:
        mailworker = install(text(port, load))
        mailworker.alerts.append("exited on signal 9$")
        mailworker.start()
        load.start()
        workers = mailworker.await_workers(2)
        victim = workers[0]
        hold(psutil.Process(victim))  # so that it accepts no more while we count
        held = len(established(victim, port))
        os.kill(victim, signal.SIGKILL)
        mailworker.await_workers(2, without=[victim])
        load.await_logins(5)
        load.finish()
        assert len(load.failures) <= held


def test_workers_that_are_killed_again_and_again_are_replaced_at_once(install: Install, port: int) -> None:
    with Load(port, relays=0) as load:
        mailworker = install(text(port, load))
        mailworker.alerts.append("exited on signal 9$")
        mailworker.start()
        load.start()
        begun = time.monotonic()
        for _ in range(KILLS):
            mailworker.await_workers(2)
            victim = max(mailworker.workers(), key=psutil.Process.create_time)
            victim.kill()
            mailworker.await_workers(2, without=[victim.pid])
        # Growing pauses, as for workers that fail by themselves, would come to more than a minute.
        assert time.monotonic() - begun < PATIENCE
        load.await_logins(KILLS * 5)
        load.finish()
        assert len(load.failures) <= KILLS


def test_when_the_master_is_killed_sessions_end_in_peace_and_a_new_start_succeeds(install: Install, port: int) -> None:
    with Load(port) as load:
        mailworker = install(text(port, load))
        mailworker.alerts.append("master process is gone")
        mailworker.start()
        load.start()
        workers = mailworker.workers()
        os.kill(mailworker.pid, signal.SIGKILL)
        wait_until(lambda: refuses(port), "the ports' release")
        mailworker.await_exit()
        mailworker.start()
        mailworker.await_workers(2)
        load.await_logins(5)
        load.await_exchanges(5)
        met = [failure for failure in load.failures if not failure.startswith("login: ConnectionRefused")]
        # Whoever comes between the last accept and the close is reset, and there is one at a time.
        assert met in ([], ["login: AssertionError: b'' instead of b'+OK POP3 ready\\r\\n'"])
        load.finish()
        assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []
        assert not mailworker.lines("Address already in use")
