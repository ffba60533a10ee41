"""Row 54: a log that takes nothing more costs records, not service."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.long.site import LOST, running
from tests.support.ports import Ports


@contextmanager
def full_disk(folder: Path) -> Iterator[str]:
    yield "/dev/full"


@contextmanager
def fifo_without_reader(folder: Path) -> Iterator[str]:
    """The reader that the start needs is there, reads nothing, and then leaves."""
    os.mkfifo(folder / "fifo", 0o622)
    (folder / "fifo").chmod(0o622)
    reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield str(folder / "fifo")
    finally:
        os.close(reader)


@contextmanager
def dead_syslog(folder: Path) -> Iterator[str]:
    ports = Ports()
    yield f"syslog:server=127.0.0.1:{ports['nobody']}"
    ports.close()


@contextmanager
def deaf_syslog(folder: Path) -> Iterator[str]:
    """Somebody has the socket and reads nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(folder / "log"))
        (folder / "log").chmod(0o666)
        yield f"syslog:server=unix:{folder / 'log'}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
@pytest.mark.parametrize("trouble", [full_disk, fifo_without_reader, dead_syslog, deaf_syslog])
def test_a_log_that_takes_nothing_stops_nobody(folder: Path, trouble: object) -> None:
    assert callable(trouble)
    with trouble(folder) as target, running(main=f"error_log {target} debug;") as site:
        workers = site.mailworker.await_workers(2)
        for _ in range(5):
            assert site.served()
        assert site.mailworker.await_workers(2) == workers
        site.mailworker.alerts.append(LOST)
        assert site.alerts() == []
