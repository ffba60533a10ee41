"""What systemd is told about us: sd_notify(3) and sd_watchdog_enabled(3), which are one datagram each."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic_ns

from mailworker.model import After
from mailworker.process.system.inherited_state import number

# What a new binary needs to go on talking to the service manager.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC")
# The environment variable that names a new binary's end of a `Turn`.
TURN = "MAILWORKER_TURN"
# The status after a reload that has failed.
REFUSED = "Serving as before: the new configuration was refused, see the error log"


class Turn:
    """What an old master tells its new binary by that it is the main process now, and so is heard (NotifyAccess=main).

    It is a pair of sockets, as the end of a stream, unlike a byte, cannot be taken away by a worker that has a copy.
    """

    __slots__ = ("_ours", "_theirs")

    def __init__(self) -> None:
        """Raises OSError."""
        self._ours, self._theirs = socket.socketpair()

    @contextmanager
    def announced(self) -> Iterator[dict[str, str]]:
        """The environment's part that names the other end, which can be inherited and is open here until the end."""
        with self._theirs:
            self._theirs.set_inheritable(True)
            yield {TURN: str(self._theirs.fileno())}

    def give(self) -> None:
        """It is the other's turn, for good."""
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """There is nobody to give it to."""
        self._ours.close()


class ServiceManager:
    """The service manager that supervises us; where there is none, all that we say is lost.

    A new binary is silent until its old master has given it the turn or is gone: only the main process is listened to.
    """

    __slots__ = ("_address", "_turn", "_watchdog")

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Learn from the environment where to report, and how often; before the process id changes."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # in Linux's abstract names
        self._turn = _inherited(environment.get(TURN, ""))
        interval = number(environment.get("WATCHDOG_USEC", ""))
        ours = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
        self._watchdog = interval / 1e6 if ours and interval is not None else 0.0

    def ready(self, status: str) -> None:
        """We serve, and this process is the one to send signals to; `status` is for people."""
        self._tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """A new configuration is being read; `ready` follows, whatever comes of it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}", "STATUS=Reading the configuration")

    def stopping(self) -> None:
        """We are about to go."""
        self._tell("STOPPING=1", "STATUS=Finishing the sessions that are open")

    def hand_over(self, pid: int) -> None:
        """Name another process as the one to send signals to, and say nothing any more."""
        self._tell(f"MAINPID={pid}", "WATCHDOG=1", f"STATUS=Serving with a new binary, process {pid}")
        self._address = ""

    def keep_alive(self, after: After) -> None:
        """Say from now on, by `after(seconds, action)`, twice in the time that is granted that we still work."""
        if self._watchdog:
            self._tell("WATCHDOG=1")
            after(self._watchdog / 2, lambda: self.keep_alive(after))

    def _tell(self, *assignments: str) -> None:
        if not self._address or not self._is_our_turn():
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.setblocking(False)  # a manager that does not listen must not hold us
            notifying.sendto("\n".join(assignments).encode(), self._address)

    def _is_our_turn(self) -> bool:
        if self._turn is not None and select.select([self._turn], [], [], 0)[0]:
            self._turn.close()
            self._turn = None
        return self._turn is None


def _inherited(descriptor: str) -> socket.socket | None:
    """The socket that an old master has announced, None where it has not or where it is none."""
    announced = number(descriptor)
    if announced is None:
        return None
    try:
        turn = socket.socket(fileno=announced)
        turn.set_inheritable(False)
    except (OSError, OverflowError, ValueError):
        return None
    return turn
