"""Signals, which are handled synchronously.

The master waits for signals alone: it keeps them blocked and fetches them one by one, so it knows the senders, and is
never interrupted. A worker waits for descriptors, so a socket becomes readable when it receives a signal.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from signal import Signals
from types import FrameType
from typing import Final

# The commands of `-s`.
COMMANDS = {
    "stop": signal.SIGTERM,
    "quit": signal.SIGQUIT,
    "reopen": signal.SIGUSR1,
    "reload": signal.SIGHUP,
}

# Signals with the system's default action: to end, stop or continue the process.
_SYSTEMS = frozenset(
    {
        signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGCONT,
        signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV,
    }
)  # fmt: skip
# A process must never ignore these: its parent may end it early, and without SIGCHLD it cannot reap its children.
_NEEDED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD})
# Signals that would end or stop a process that has no handlers yet: they stay pending until then.
HELD = frozenset(
    {
        signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
        signal.SIGTTIN, signal.SIGTTOU, signal.SIGALRM, signal.SIGIO,
    }
)  # fmt: skip
# The signals that a master obeys.
TAKEN = _NEEDED | HELD


def settle() -> None:
    """Set the disposition of every signal and the mask to known values, until the process installs its handlers.

    All signals without a meaning are ignored. nginx ignores only SIGPIPE and SIGSYS, so SIGVTALRM, SIGPROF, SIGPWR,
    SIGXCPU and others end it.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        known = number in _SYSTEMS or number in TAKEN
        signal.signal(number, signal.SIG_DFL if known else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, HELD)


Handler = tuple[str, Callable[[], None]]
"""The end of the log line for a signal, and the action."""


def _ignore() -> None:
    """Do nothing."""


SILENT: Final[Handler] = ("", _ignore)
IGNORED: Final[Handler] = (", ignoring", _ignore)


@dataclass(frozen=True, slots=True)
class Received:
    """A signal that was received. `sender` is a process id, 0 if the system does not tell it."""

    signal: Signals
    sender: int = 0

    def describe(self, action: str) -> str:
        """The message: "signal 15 (SIGTERM) received from 4711, exiting"; `action` is "" or ", exiting"."""
        sender = f" from {self.sender}" if self.sender else ""
        return f"signal {self.signal.value} ({self.signal.name}) received{sender}{action}"


class BlockedSignals:
    """Signals that stay pending until they are fetched."""

    __slots__ = ("_signals",)

    def __init__(self, signals: Iterable[Signals]) -> None:
        self._signals = frozenset(signals)

    def block(self) -> None:
        """Block all of them from now on."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def unblock(self) -> None:
        """Unblock them, as in a child, which inherits the mask."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)

    def wait(self, timeout: float | None) -> Received | None:
        """The next signal; None after `timeout` seconds, or when the end of a former one comes late.

        `timeout` None waits for ever. SIGALRM tells the time: signal.sigtimedwait is not used, as macOS does not have
        it, and if the process is stopped until after the timeout, CPython returns uninitialised memory as a signal
        number.
        """
        if timeout is None:
            received = _fetch(self._signals)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            signal.setitimer(signal.ITIMER_REAL, max(timeout, 0.001))  # 0 would mean: no alarm
            received = _fetch(self._signals | {signal.SIGALRM})
            signal.setitimer(signal.ITIMER_REAL, 0)
        return None if received.signal == signal.SIGALRM and not received.sender else received


def _fetch(signals: AbstractSet[Signals]) -> Received:
    if not hasattr(signal, "sigwaitinfo"):  # macOS
        return Received(Signals(signal.sigwait(signals)))
    information = signal.sigwaitinfo(signals)
    return Received(Signals(information.si_signo), information.si_pid)


class SignalSocket:
    """Signals as bytes on a non-blocking socket, for a selector. Only the main thread may open it."""

    __slots__ = ("_receiving", "_sending")

    def __init__(self) -> None:
        self._receiving, self._sending = socket.socketpair()
        self._receiving.setblocking(False)
        self._sending.setblocking(False)

    def open(self, signals: Iterable[Signals]) -> None:
        """Begin to catch `signals`."""
        signal.set_wakeup_fd(self._sending.fileno(), warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, _only_wake)

    def fileno(self) -> int:
        """The descriptor to watch for reading."""
        return self._receiving.fileno()

    def read(self) -> list[Received]:
        """All signals received since the last call."""
        try:
            return [Received(Signals(number)) for number in self._receiving.recv(4096)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Close the sockets; signals are still caught, but not reported."""
        signal.set_wakeup_fd(-1)
        self._receiving.close()
        self._sending.close()


def _only_wake(number: int, frame: FrameType | None) -> None:
    """Do nothing: the interpreter has already written the signal's number to the wakeup descriptor."""
