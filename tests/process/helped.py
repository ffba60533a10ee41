"""mailworker with a helper process, which the program does not have. Run as bin/mailworker is."""

from __future__ import annotations

import os
import runpy
import socket

from mailworker.model import Level
from mailworker.process import workforce
from mailworker.process.cycle import Cycle
from mailworker.process.helper import Helper as Base
from mailworker.process.worker import Worker
from tests.support.process import BINARY


class Helper(Base):
    """Says when it begins and when it is done, and what workers tell it."""

    __slots__ = ()

    name = "helper process"

    @classmethod
    def is_wanted(cls, cycle: Cycle) -> bool:
        return cycle.settings.core.worker_shutdown_timeout is None

    def _prepare(self) -> None:
        self._log.write(Level.NOTICE, "helping")

    def _receive(self, packet: memoryview, channel: socket.socket) -> None:
        self._log.write(Level.NOTICE, f"heard {bytes(packet).decode()}")
        channel.send(b"heard")

    def _close(self) -> None:
        self._log.write(Level.NOTICE, "helped")


class Talkative(Worker):
    """Tells its helper when it begins and when it ends."""

    __slots__ = ()

    def _start(self) -> None:
        super()._start()
        self._tell("begin")

    def _end(self) -> None:
        super()._end()
        self._tell("end")

    def _tell(self, what: str) -> None:
        channel = self._master.channels.get(Helper.name)
        if channel is not None:
            channel.send(f"{os.getpid()} {what}".encode())


if __name__ == "__main__":
    workforce.HELPERS = (Helper,)  # type: ignore[misc]
    vars(workforce)["Worker"] = Talkative
    runpy.run_path(str(BINARY), run_name="__main__")
