"""What the log writer may do, and what others can make it do: workers in the wrong hands, clients who choose names."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import struct
from pathlib import Path

import pytest

from tests.process.test_log_writer import Start, load, sessions_of, start
from tests.support.load import Load
from tests.support.process import descriptors, visit

__all__ = ["load", "start"]

INVALID = "a worker has sent an invalid or too long line"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")
def test_it_is_nobody_and_workers_do_not_hold_its_files(start: Start, port: int) -> None:
    logged = start()
    writer = logged.await_writer()
    assert set(writer.uids()) == {65534}
    assert [Path(each.path) for each in writer.open_files() if "access" in each.path] == [logged.access_log]
    assert writer.net_connections() == [] or all(each.family == socket.AF_UNIX for each in writer.net_connections())
    for worker in logged.workers():
        assert not any("access" in each.path for each in worker.open_files())


def channel_of(worker: int) -> socket.socket:
    """A worker's own end of its channel to the log writer, taken from it by pidfd_getfd(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(worker)
    try:
        for entry, link in descriptors(worker).items():
            if link.startswith("socket:"):
                found = socket.socket(fileno=libc.syscall(438, pidfd, int(entry.name), 0))
                if found.type == socket.SOCK_SEQPACKET:
                    return found
                found.close()
    finally:
        os.close(pidfd)
    raise AssertionError(f"no channel of {worker}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take descriptors of others")
def test_a_worker_in_the_wrong_hands_can_send_what_it_likes(start: Start, port: int) -> None:
    logged = start()
    logged.alerts += [
        "a worker has sent an invalid or too long line",
        r"write\(\) to log writer failed \(32: Broken pipe\)",
    ]
    writer, (worker, other) = logged.await_writer(), logged.await_workers(2)
    header = struct.pack("=HH", 0, 0)
    packets = [
        *(b"x", b"\xff" * 3, struct.pack("=HH", 9999, 0) + b"no destination\n", header, header + b"no end"),
        *(struct.pack("=HH", 0, 0xFFFF) + b"short\n", header + b"x" * (1 << 18) + b"\n", random.randbytes(1000)),
    ]
    with channel_of(worker) as channel:
        channel.setblocking(True)
        for packet in packets:
            channel.send(packet)
        channel.shutdown(socket.SHUT_RDWR)
    visit(port, 20)
    others = len(logged.lines(rf" {other}#{other}: \*\d+ client .* connected"))
    assert all(line.startswith(f"{other}*") for line in logged.await_lines(others))
    assert [each.pid for each in logged.writers()] == [writer.pid]
    logged.signal(signal.SIGQUIT)
    assert logged.await_exit() == 0
    assert sum(int(line.split()[-3]) for line in logged.lines(INVALID)) == len(packets)


def test_names_that_clients_choose_stay_below_the_folder(start: Start, load: Load, folder: Path) -> None:
    users = folder / "users"
    users.mkdir(mode=0o777)
    users.chmod(0o777)
    logged = start(
        "access_log users/$remote_user.log test; access_log logs/access.log test;",
        main="worker_sandbox on;",
        server=load.server,
    )
    logged.alerts.append("is not a valid name for a log")
    load.start()
    load.await_logins(5)
    load.finish()
    logged.await_lines(sessions_of(load))
    assert len(logged.await_lines(sessions_of(load), users / "u.log")) == sessions_of(load)
    assert [path.name for path in users.iterdir()] == ["u.log"]
