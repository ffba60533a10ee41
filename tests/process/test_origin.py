from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailworker.process.handover.inheritance import Inheritance
from mailworker.process.invocation import Invocation
from mailworker.process.origin import Origin
from mailworker.process.system.daemon import Starter
from mailworker.process.system.service_manager import ServiceManager
from tests.support.recorded_log import RecordedLog

INVOCATION = Invocation(("mailworker",), Path("/prefix"), Path("/prefix/conf/mailworker.conf"), None)


class Listeners:
    """A service manager, a starter, and an origin that reports to both and has inherited `foreign`."""

    def __init__(self, folder: Path) -> None:
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._manager.bind(str(folder / "notify"))
        self._starter, ours = os.pipe()
        self.foreign = os.open("/dev/null", os.O_RDONLY)
        manager = ServiceManager({"NOTIFY_SOCKET": str(folder / "notify")})
        self.origin = Origin(INVOCATION, Inheritance(), manager, True, Starter(ours), (self.foreign,))

    def manager_heard(self) -> bytes:
        try:
            return self._manager.recv(1000)
        except BlockingIOError:
            return b""

    def starter_heard(self) -> bytes:
        """To the end, so somebody must have closed the pipe."""
        return os.read(self._starter, 1000)

    def close(self) -> None:
        self.origin.starter.leave()
        self._manager.close()
        os.close(self._starter)


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    listeners = Listeners(tmp_path)
    yield listeners
    listeners.close()


def test_all_who_wait_hear_that_we_serve(listeners: Listeners) -> None:
    listeners.origin.serve("Serving")
    assert listeners.manager_heard().decode().split("\n") == [
        "READY=1",
        f"MAINPID={os.getpid()}",
        "STATUS=Serving",
    ]
    assert listeners.starter_heard() == b"\0"
    assert listeners.starter_heard() == b""
    os.close(listeners.foreign)


def test_log_and_starter_hear_that_we_never_will(listeners: Listeners) -> None:
    log = RecordedLog()
    listeners.origin.fail(log.log, "no worker could start")
    assert log.lines == ["[emerg] no worker could start"]
    assert listeners.starter_heard() == b"[emerg] no worker could start, the error log says more"
    assert listeners.manager_heard() == b""
    os.close(listeners.foreign)


def test_a_child_gives_back_what_is_the_master_s_alone(listeners: Listeners) -> None:
    listeners.origin.leave()
    assert listeners.starter_heard() == b""
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(listeners.foreign)
    listeners.origin.serve("unheard by the starter")
    assert listeners.starter_heard() == b""
