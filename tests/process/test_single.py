"""`master_process off`, on the real binary."""

from __future__ import annotations

import signal
import socket

import psutil
import pytest

from tests.process.conftest import Install
from tests.support.ports import Ports
from tests.support.process import GREETING, Mailworker, configuration, greeting, refuses


@pytest.fixture
def single(install: Install, port: int) -> Mailworker:
    mailworker = install(configuration(port, main="master_process off;"))
    mailworker.start()
    mailworker.await_true(lambda: not refuses(port), "listening")
    return mailworker


def test_one_process_does_it_all(single: Mailworker, port: int) -> None:
    assert greeting(port) == GREETING
    assert psutil.Process(single.pid).children() == []
    single.signal(signal.SIGTERM)
    assert single.await_exit() == 0
    assert not single.pid_file.exists()


def test_quit_lets_sessions_end(single: Mailworker, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        single.signal(signal.SIGQUIT)
        single.await_line("gracefully shutting down")
        client.sendall(b"a LOGOUT\r\n")
        assert client.makefile("rb").read().endswith(b"a OK completed\r\n")
    assert single.await_exit() == 0


def test_hup_changes_addresses_and_keeps_sessions(single: Mailworker, port: int, ports: Ports) -> None:
    other = ports["other"]
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        single.configure(configuration(other, main="master_process off;"))
        single.signal(signal.SIGHUP)
        single.await_true(lambda: not refuses(other), "the new address")
        assert greeting(other) == GREETING
        client.sendall(b"a NOOP\r\n")
        assert client.recv(100) == b"a OK completed\r\n"
        assert refuses(port)


def test_hup_goes_on_with_the_same_address(single: Mailworker, port: int) -> None:
    single.signal(signal.SIGHUP)
    single.await_line('using the "epoll" event method', 2)
    assert greeting(port) == GREETING


def test_usr1_reopens_the_log(single: Mailworker) -> None:
    single.error_log.rename(single.error_log.with_name("moved.log"))
    single.signal(signal.SIGUSR1)
    single.await_true(single.error_log.exists, "the new log")
