"""Limits of logins in the life of a real master with several workers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.steered import Steered
from tests.support.auth import AuthService, rejected
from tests.support.daemon import find_program
from tests.support.peer import Peer
from tests.support.process import GREETING, configuration

OF_NGINX = (
    r'^ \[info\] \d+#\d+: (?:\*\d+ )?client login failed: "[^"]*" while in http auth state, client: <HOST>(?:,| using)'
)
"""What people have for the lines of nginx's mail module."""

FILTER = Path(__file__).parents[2] / "conf" / "fail2ban" / "filter.d" / "mailworker-bans.conf"
LIMITS = """
    limit_auth_zone $binary_remote_prefix zone=fail:{size} rate=1r/h;
    limit_auth zone=fail burst=5 nodelay ban=1h;
"""

Start = Callable[..., Steered]


@pytest.fixture
def service() -> Iterator[AuthService]:
    service = AuthService(rejected(b"Wrong password"))
    yield service
    service.stop()


@pytest.fixture
def start(folder: Path, port: int, service: AuthService) -> Iterator[Start]:
    steered = Steered(folder)

    def start(main: str = "worker_processes 4; worker_sandbox on;") -> Steered:
        steered.serve(text(steered, port, service, main), workers=4)
        return steered

    yield start
    steered.stop()


def text(steered: Steered, port: int, service: AuthService, main: str, size: str = "1m") -> str:
    address = f"auth_http {service.address.host}:{service.address.port}/;"
    whole = configuration(port, main=f"{main} {steered.block}", mail=LIMITS.format(size=size))
    return whole.replace("auth_http 127.0.0.1:9/;", address)


def guess(port: int, number: int) -> bytes:
    """What a wrong password is answered by; nothing if the connection is closed at once."""
    peer = Peer.connect(("127.0.0.1", port))
    try:
        with suppress(ConnectionResetError):
            peer.send(b"a LOGIN user guess%d\r\n" % number)
            return peer.rest().removeprefix(GREETING)
        return b""
    finally:
        peer.close()


def test_workers_count_together(start: Start, port: int, service: AuthService) -> None:
    """The kernel spreads connections over all of them."""
    steered = start()
    answers = [guess(port, number) for number in range(6)]
    assert answers == [b"a NO Wrong password\r\n"] * 6
    assert guess(port, 6) == b"a NO [UNAVAILABLE] Temporary authentication failure\r\n"
    assert [guess(port, number) for number in range(7, 20)] == [b""] * 13
    assert len(service.requests) == 6
    (use,) = [line["limit"] for line in steered.ask("limits") if "limit" in line]
    assert (use["zone"], use["entries"], use["bans"], use["dropped"]) == ("fail", 1, 1, 0)
    assert steered.ctl("bans").stdout.split()[3:5] == ["fail", "127.0.0.1"]
    steered.await_line('banned for 3600s by zone "fail"')
    assert found_by_fail2ban(steered.error_log, f'{FILTER}[zones="fail"]') == ["127.0.0.1"]
    assert found_by_fail2ban(steered.error_log, OF_NGINX) == ["127.0.0.1"] * 6


def found_by_fail2ban(log: Path, expression: str) -> list[str]:
    """The addresses that a filter, or a regular expression, finds in a log."""
    command = [find_program("fail2ban-regex"), "--out", "ip", str(log), expression]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_bans_outlast_killed_workers_reloads_and_another_binary(start: Start, port: int, service: AuthService) -> None:
    steered = start()
    steered.alerts.append("exited on signal 9")
    assert steered.ctl("ban", "127.0.0.1", "1h").stdout == "127.0.0.1 is banned in fail\n"
    assert guess(port, 0) == b""
    workers = steered.await_workers(4)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    workers = steered.await_workers(4, without=workers)
    assert guess(port, 1) == b""
    steered.configure(text(steered, port, service, "worker_processes 4;", size="2m"))
    steered.signal(signal.SIGHUP)
    steered.await_workers(4, without=workers)
    assert guess(port, 2) == b""
    old, _ = steered.pid, steered.upgrade()
    os.kill(old, signal.SIGQUIT)
    assert steered.await_exit() == 0
    steered.await_true(lambda: guess(port, 3) == b"", "a ban that goes on")
    assert not service.requests
    steered.await_true(lambda: steered.ctl("unban", "127.0.0.1").returncode == 0, "the ban's end")
    assert guess(port, 4) == b"a NO Wrong password\r\n"


def test_a_zone_with_another_key_fails_the_reload_and_the_limits_go_on(
    start: Start, port: int, service: AuthService
) -> None:
    steered = start()
    steered.ctl("ban", "127.0.0.1", "1h")
    whole = text(steered, port, service, "worker_processes 4;").replace("$binary_remote_prefix", "$remote_addr")
    steered.configure(whole)
    steered.signal(signal.SIGHUP)
    steered.await_line(r'\[emerg\] .*limit_auth_zone "fail" uses the "\$remote_addr" key while previously it used')
    assert guess(port, 0) == b""
