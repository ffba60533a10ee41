"""Where a master comes from: its command line, the sockets that it was given, and the process that it reports to."""

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
    """`daemonised` tells whether the process, or its old master, has left the terminal of its parent.

    `foreign` are descriptors that it has inherited without knowing what they are.
    """

    invocation: Invocation
    inheritance: Inheritance
    manager: ServiceManager
    daemonised: bool
    starter: Starter
    foreign: tuple[int, ...] = ()

    def serve(self, status: str) -> None:
        """Tell the waiting processes that we serve; `status` is for people."""
        self.manager.ready(status)
        self.starter.serves()

    def fail(self, log: Log, reason: str) -> None:
        """Tell the log, and the waiting processes, that we shall never serve."""
        log.write(Level.EMERG, reason)
        self.starter.fails(f"[emerg] {reason}, the error log says more")

    def leave(self) -> None:
        """Close, in a child, what only the master may have."""
        self.manager.leave()
        self.starter.leave()
        close_all(self.foreign)
