"""Notifications to systemd: sd_notify(3) and sd_watchdog_enabled(3), one datagram each."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from time import monotonic_ns

from mailworker.model import After
from mailworker.process.system.inherited_state import announced, inherited, number

# The variables that a new binary needs to notify the service manager.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC")
# The environment variable that names a new binary's end of a `Turn`.
TURN = "MAILWORKER_TURN"
# The status after a reload that has failed.
REFUSED = "Serving as before: the new configuration was refused, see the error log"


class Turn:
    """A pair of sockets by which an old master tells its new binary that it is the main process now.

    With NotifyAccess=main, systemd accepts notifications of that process alone. The message is an end of file. No
    child has a copy of either socket: with one of ours it would delay the message, and with either it could cause it.
    """

    __slots__ = ("_ours", "_theirs")

    def __init__(self) -> None:
        """Raises OSError."""
        self._ours, self._theirs = socket.socketpair()

    def announced(self) -> AbstractContextManager[dict[str, str]]:
        """The environment variable for the other end, which is inheritable, and open here, within the context."""
        return announced(self._theirs, TURN)

    def give(self) -> None:
        """Make the other master the main process."""
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close our end, as there is no other master."""
        self._ours.close()


class ServiceManager:
    """The service manager that supervises us; without one, notifications have no effect.

    A new binary sends none before it is the main process, or before its old master has ended: see `Turn`.
    """

    __slots__ = ("_address", "_turn", "_watchdog")

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the environment; call this before the process id changes."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # in Linux's abstract namespace
        self._turn = inherited(environment.get(TURN, ""))
        interval = number(environment.get("WATCHDOG_USEC", ""))
        ours = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
        self._watchdog = interval / 1e6 if ours and interval is not None else 0.0

    def leave(self) -> None:
        """Close, in a child, what only the master may have."""
        if self._turn is not None:
            self._turn.close()

    def ready(self, status: str) -> None:
        """Report that we serve, and are the main process; `status` is shown to administrators."""
        self._tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """Report that a new configuration is being read; `ready` follows, whatever the result."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}", "STATUS=Reading the configuration")

    def stopping(self) -> None:
        """Report that we are shutting down."""
        self._tell("STOPPING=1", "STATUS=Finishing the sessions that are open")

    def hand_over(self, pid: int) -> None:
        """Report that another process is the main one, and nothing from now on."""
        self._tell(f"MAINPID={pid}", "WATCHDOG=1", f"STATUS=Serving with a new binary, process {pid}")
        self._address = ""

    def keep_alive(self, after: After) -> None:
        """Send watchdog notifications from now on, by `after(seconds, action)`, two in each interval."""
        if self._watchdog:
            self._tell("WATCHDOG=1")
            after(self._watchdog / 2, lambda: self.keep_alive(after))

    def _tell(self, *assignments: str) -> None:
        if not self._address or not self._is_our_turn():
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.setblocking(False)  # a manager that does not read must not block us
            notifying.sendto("\n".join(assignments).encode(), self._address)

    def _is_our_turn(self) -> bool:
        if self._turn is not None:
            ready = select.poll()  # select() fails for a turn from a master with a thousand sockets
            ready.register(self._turn, select.POLLIN)
            if ready.poll(0):
                self._turn.close()
                self._turn = None
        return self._turn is None
