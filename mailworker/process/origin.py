"""Where a master comes from: what it was asked to do, what it was given, whom it reports to."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.process.cycle import Invocation
from mailworker.process.inheritance import Inheritance
from mailworker.process.service_manager import ServiceManager


@dataclass(frozen=True, slots=True)
class Origin:
    """`daemonised` tells whether the process has left the terminal of whoever started it, or its old master has."""

    invocation: Invocation
    inheritance: Inheritance
    manager: ServiceManager
    daemonised: bool
