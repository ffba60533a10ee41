"""What all helpers do, seen in one that logs what workers send: tests/process/helped.py."""

from __future__ import annotations

import os
import signal
import socket

import psutil
import pytest

from tests.process.test_workforce import Helped, helped
from tests.support.daemon import wait_until
from tests.support.process import GREETING, greeting, hold

__all__ = ["helped"]


def heard(helped: Helped, what: str) -> int:
    return len(helped.lines(f"heard {what}$"))


def test_it_hears_every_worker_also_those_that_begin_after_it(helped: Helped) -> None:
    helped.alerts.append("worker process .* exited on signal")
    workers = helped.await_workers(2)
    os.kill(workers[0], signal.SIGKILL)
    workers += helped.await_workers(2, without=[workers[0]])
    for worker in set(workers):
        helped.await_line(f"heard {worker} begin$")
    assert len(helped.lines("helping$")) == 1


def test_it_hears_a_worker_that_signals_have_added(helped: Helped) -> None:
    helped.signal(signal.SIGTTIN)
    for worker in helped.await_workers(3):
        helped.await_line(f"heard {worker} begin$")


def test_what_a_dead_helper_has_not_taken_is_for_the_next_one(helped: Helped) -> None:
    helper, workers = helped.await_helper(), helped.await_workers(2)
    helped.await_line("heard .* begin$", 2)
    hold(psutil.Process(helper))
    os.kill(workers[0], signal.SIGTERM)
    helped.await_line(f"worker process {workers[0]} exited")  # and the master has given back what is not needed
    helped.await_workers(2, without=[workers[0]])
    os.kill(helper, signal.SIGKILL)
    helped.await_line(f"heard {workers[0]} end$")
    helped.await_line("heard .* begin$", 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_the_last_words_of_workers_are_heard_whoever_ends_them(helped: Helped, number: signal.Signals) -> None:
    helped.await_line("heard .* begin$", 2)
    helped.signal(number)
    assert helped.await_exit() == 0
    assert heard(helped, r"\d+ end") == 2
    assert "helped" in helped.lines("helped$|heard")[-1]


def test_the_last_words_are_heard_when_a_terminal_ends_all_processes_at_once(helped: Helped) -> None:
    helped.await_line("heard .* begin$", 2)
    for child in psutil.Process(helped.pid).children():
        hold(child)
    helper = helped.await_helper()
    for pid in (helper, helped.pid, *helped.await_workers(2)):
        os.kill(pid, signal.SIGINT)
    os.kill(helper, signal.SIGCONT)
    helped.await_line(rf"{helper}#{helper}: signal 2 .*, exiting$")
    for worker in helped.await_workers(2):
        os.kill(worker, signal.SIGCONT)
    assert helped.await_exit() == 0
    assert heard(helped, r"\d+ end") == 2


def test_one_that_gets_term_itself_goes_and_is_replaced(helped: Helped) -> None:
    helper, workers = helped.await_helper(), helped.await_workers(2)
    os.kill(helper, signal.SIGTERM)
    helped.await_helper(without=helper)
    assert helped.await_workers(2) == workers
    assert helped.lines(rf"helper process {helper} exited with code 0$")


def test_that_of_a_former_cycle_is_replaced_as_long_as_there_are_workers(helped: Helped, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        old = helped.await_helper()
        helped.signal(signal.SIGHUP)
        helped.await_line("gracefully shutting down$", 2)
        helped.await_true(lambda: len(helped.helpers()) == 2, "the new cycle's helper")
        os.kill(old, signal.SIGKILL)
        helped.await_line("start helper process", 3)
        helped.await_true(lambda: len(helped.helpers()) == 2 and old not in helped.helpers(), "the replacement")
        ends = heard(helped, r"\d+ end")
    helped.await_line(r"heard \d+ end$", ends + 1)
    helped.await_line("helped$")
    helped.await_true(lambda: len(helped.helpers()) == 1, "the end of the old cycle's helper")


def test_none_runs_for_a_cycle_that_does_not_want_it(helped: Helped, port: int) -> None:
    helped.await_helper()
    text = (helped.folder / "conf" / "mailworker.conf").read_text()
    helped.configure(f"worker_shutdown_timeout 10s; {text}")
    workers = helped.await_workers(2)
    helped.signal(signal.SIGHUP)
    helped.await_workers(2, without=workers)
    helped.await_true(lambda: helped.helpers() == [], "the helper's end")
    assert greeting(port) == GREETING
    helped.configure(text)
    helped.signal(signal.SIGHUP)
    helped.await_helper()


def test_one_that_hangs_keeps_no_master_from_its_end(helped: Helped) -> None:
    hold(psutil.Process(helped.await_helper()))
    helped.signal(signal.SIGQUIT)
    assert helped.await_exit() == 0


def test_without_a_master_it_stays_as_long_as_workers_do(helped: Helped, port: int) -> None:
    helped.alerts.append("master process is gone, shutting down$")
    helper, master = helped.await_helper(), helped.pid
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        os.kill(master, signal.SIGKILL)
        helped.await_line(rf"{helper}#{helper}: master process is gone")
        helped.await_line(r"heard \d+ end$")  # of the worker that has no session
        assert psutil.pid_exists(helper)
    helped.await_line(r"heard \d+ end$", 2)
    wait_until(lambda: not psutil.pid_exists(helper), "its end")


def test_it_holds_what_it_needs_and_is_not_woken_for_nothing(helped: Helped, port: int) -> None:
    helped.await_line("heard .* begin$", 2)
    helper = psutil.Process(helped.await_helper())
    # The standard streams, the log, the selector, two for signals, the master's pipe, the link, a channel a worker,
    # and two in reserve for a log and for a channel.
    helped.await_true(lambda: helper.num_fds() <= 13, "no more descriptors")
    helped.await_true(lambda: helper.status() == psutil.STATUS_SLEEPING, "its sleep, which is counted as it begins")
    before = helper.num_ctx_switches().voluntary
    for _ in range(10):
        assert greeting(port) == GREETING
    assert helper.num_ctx_switches().voluntary == before
