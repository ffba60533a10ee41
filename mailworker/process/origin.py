"""Where a master comes from: what it was asked to do, what it was given, whom it reports to."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.log.log import Log
from mailworker.model import Level
from mailworker.process.handover.inheritance import Inheritance
from mailworker.process.invocation import Invocation
from mailworker.process.system.daemon import Starter
from mailworker.process.system.inherited_state import close_all
from mailworker.process.system.service_manager import ServiceManager


@dataclass(frozen=True, slots=True)
class Origin:
    """`daemonised` tells whether the process has left the terminal of whoever started it, or its old master has.

    `foreign` are descriptors that it has inherited and knows nothing of.
    """

    invocation: Invocation
    inheritance: Inheritance
    manager: ServiceManager
    daemonised: bool
    starter: Starter
    foreign: tuple[int, ...] = ()

    def serve(self, status: str) -> None:
        """Tell all who wait for it that we serve; `status` is for people."""
        self.manager.ready(status)
        self.starter.serves()

    def fail(self, log: Log, reason: str) -> None:
        """Tell the log and whoever waits that we never will."""
        log.write(Level.EMERG, reason)
        self.starter.fails(f"[emerg] {reason}, the error log says more")

    def leave(self) -> None:
        """Give back, in a child, what is the master's alone."""
        self.starter.leave()
        close_all(self.foreign)
