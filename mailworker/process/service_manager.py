"""What systemd is told about us: sd_notify(3) and sd_watchdog_enabled(3), which are one datagram each."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic_ns

# What a new binary needs to go on talking to whoever supervises us.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC")
# The status after a reload that has failed.
REFUSED = "Serving as before: the new configuration was refused, see the error log"


class ServiceManager:
    """Whoever supervises us, be it nobody: then all that we say is lost."""

    __slots__ = ("_address", "_watchdog")

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Learn from the environment where to report, and how often; before the process id changes."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # in Linux's abstract names
        interval = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
        self._watchdog = int(interval) / 1e6 if ours and interval.isdecimal() else 0.0

    def ready(self, status: str) -> None:
        """We serve, and this process is the one to send signals to; `status` is for people."""
        self._tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """A new configuration is being read; `ready` follows, whatever comes of it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}", "STATUS=Reading the configuration")

    def stopping(self) -> None:
        """We are about to go."""
        self._tell("STOPPING=1", "STATUS=Finishing the sessions that are open")

    def keep_alive(self, after: Callable[[float, Callable[[], None]], None]) -> None:
        """Say from now on, by `after(seconds, action)`, twice in the time that is granted that we still work."""
        if self._watchdog:
            self._tell("WATCHDOG=1")
            after(self._watchdog / 2, lambda: self.keep_alive(after))

    def _tell(self, *assignments: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.setblocking(False)  # a manager that does not listen must not hold us
            notifying.sendto("\n".join(assignments).encode(), self._address)
