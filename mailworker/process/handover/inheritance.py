"""Listening sockets inherited from an old master, when the binary is changed, or from a service manager."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass

from mailworker.config.listen import Endpoint, Listen
from mailworker.errors import escape
from mailworker.event.listener import BoundListener
from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.model import Address, InetAddress, Level, UnixAddress
from mailworker.process.handover import succession
from mailworker.process.handover import zones as zone_handover
from mailworker.process.system.inherited_state import number, passed_descriptors

# The environment variable by which a new binary gets descriptors; nginx's has the same form: "3;4;".
VARIABLE = "MAILWORKER"


@dataclass(frozen=True, slots=True)
class Inheritance:
    """Sockets for the first cycle, and whether they come from an old master.

    For `zones` see `zone_handover.take_over`, for `predecessor` see `link_to_predecessor`.
    """

    listeners: tuple[BoundListener, ...] = ()
    from_master: bool = False
    zones: str = ""
    predecessor: str = ""

    @classmethod
    def receive(cls, environment: MutableMapping[str, str], log: Log) -> Inheritance:
        """Receive what `environment` announces, and remove the variables, as they are for this process alone."""
        passed = passed_descriptors(environment)
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
            environment.pop(name, None)
        zones = environment.pop(zone_handover.VARIABLE, "")
        predecessor = environment.pop(succession.VARIABLE, "")
        value = environment.pop(VARIABLE, None)
        if value is not None:
            log.write(Level.NOTICE, f'using inherited sockets from "{escape(value)}"')
            listeners = tuple(_listeners(_descriptors(value, log), log, borrowed=False))
            return cls(listeners, from_master=True, zones=zones, predecessor=predecessor)
        if not passed:
            return cls()
        log.write(Level.NOTICE, f"using {len(passed)} sockets of the service manager")
        return cls(tuple(_listeners(passed, log, borrowed=True)))

    def close_unused(self, used: Iterable[BoundListener], log: Log) -> None:
        """Close the sockets that are not among `used`. Files of unix sockets stay, as other processes may use them."""
        kept = {listener.address for listener in used}
        for listener in self.listeners:
            if listener.address not in kept:
                log.write(Level.NOTICE, f"closing the inherited socket of {listener.address}, which is not listened on")
                listener.close()


def announce(listeners: Iterable[BoundListener]) -> str:
    """The value of VARIABLE for a new binary."""
    return "".join(f"{listener.socket.fileno()};" for listener in listeners)


def _descriptors(value: str, log: Log) -> list[int]:
    """The numbers in VARIABLE, each ended by a semicolon or a colon; all after a bad one are ignored."""
    numbers: list[int] = []
    *ended, rest = re.split("[:;]", value)
    for text in ended:
        descriptor = number(text)
        if descriptor is None:
            log.write(Level.EMERG, f"{_invalid(text)}, ignoring the rest of the variable")
            return numbers
        numbers.append(descriptor)
    if rest:
        log.write(Level.EMERG, f"{_invalid(rest)}, ignoring")
    return numbers


def _invalid(text: str) -> str:
    return f'invalid socket number "{escape(text)}" in {VARIABLE} environment variable'


def _listeners(descriptors: Iterable[int], log: Log, *, borrowed: bool) -> Iterator[BoundListener]:
    for descriptor in descriptors:
        try:
            listening = socket.socket(fileno=descriptor)
        except (OSError, OverflowError, ValueError) as error:
            reason = describe(error) if isinstance(error, OSError) else "(9: Bad file descriptor)"
            message = f"getsockname() of the inherited socket #{descriptor} failed {reason}"
            log.write(Level.CRIT, message)
            continue
        address = _address_of(listening)
        if address is None:
            listening.close()
            log.write(Level.CRIT, f"the inherited socket #{descriptor} has an unsupported protocol family, ignored")
            continue
        listening.set_inheritable(False)
        listening.setblocking(False)
        yield BoundListener((Endpoint(Listen(address), server=0),), listening, borrowed=borrowed)


def _address_of(listening: socket.socket) -> Address | None:
    name = listening.getsockname()
    if listening.type != socket.SOCK_STREAM:
        return None
    if listening.family == socket.AF_UNIX:
        return UnixAddress(os.fsdecode(name))
    if listening.family in (socket.AF_INET, socket.AF_INET6):
        return InetAddress(name[0], name[1])
    return None
