"""The origin of a master: its command line, inherited sockets, and the processes that it reports to."""

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
    """`daemonised`: the process, or its old master, is detached from the terminal.

    `foreign` are inherited descriptors of unknown purpose.
    """

    invocation: Invocation
    inheritance: Inheritance
    manager: ServiceManager
    daemonised: bool
    starter: Starter
    foreign: tuple[int, ...] = ()

    def serve(self, status: str) -> None:
        """Report to the waiting processes that we serve; service managers show the `status`."""
        self.manager.ready(status)
        self.starter.serves()

    def fail(self, log: Log, reason: str) -> None:
        """Log that we shall not serve, and report it to the waiting parent."""
        log.write(Level.EMERG, reason)
        self.starter.fails(f"[emerg] {reason}, the error log says more")

    def leave(self) -> None:
        """Close, in a child, what only the master may have."""
        self.manager.leave()
        self.starter.leave()
        close_all(self.foreign)
