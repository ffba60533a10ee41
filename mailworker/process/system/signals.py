"""Signals, taken where it suits us: a handler never does more than wake somebody.

The master has nothing else to wait for, so it keeps its signals blocked and fetches them one by one; that tells it
who sent them, and none can interrupt it. A worker waits on descriptors: there a socket becomes readable.
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

# What `-s` can ask of a master.
COMMANDS = {
    "stop": signal.SIGTERM,
    "quit": signal.SIGQUIT,
    "reopen": signal.SIGUSR1,
    "reload": signal.SIGHUP,
}


# What the system does by itself is right: end a process for a fault of its own or for good, stop it, let it go on.
_SYSTEMS = frozenset(
    {
        signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGCONT,
        signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV,
    }
)  # fmt: skip
# Our parent may end us before we serve; a parent whose SIGCHLD is ignored never learns of its children's end.
_NEEDED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD})
# What would end or stop a process that does not take it yet: it waits until the process does.
HELD = frozenset(
    {
        signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
        signal.SIGTTIN, signal.SIGTTOU, signal.SIGALRM, signal.SIGIO,
    }
)  # fmt: skip
# What a master obeys.
TAKEN = _NEEDED | HELD


def settle() -> None:
    """Set the disposition of every signal and the mask, whatever they were, until somebody takes signals as he likes.

    A signal that no process of ours has a use for is ignored. nginx does that with SIGPIPE and SIGSYS alone, and ends
    by SIGVTALRM, SIGPROF, SIGPWR, SIGXCPU and others.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        known = number in _SYSTEMS or number in TAKEN
        signal.signal(number, signal.SIG_DFL if known else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, HELD)


Handler = tuple[str, Callable[[], None]]
"""What the log says of a signal, after what came, and what is done."""


def _ignore() -> None:
    """Nothing is to be done."""


UNHEARD: Final[Handler] = ("", _ignore)
PASSED_OVER: Final[Handler] = (", ignoring", _ignore)


@dataclass(frozen=True, slots=True)
class Received:
    """A signal that came. `sender` is a process id, 0 where the system does not tell."""

    signal: Signals
    sender: int = 0

    def describe(self, action: str) -> str:
        """The message: "signal 15 (SIGTERM) received from 4711, exiting"; `action` is "" or ", exiting"."""
        sender = f" from {self.sender}" if self.sender else ""
        return f"signal {self.signal.value} ({self.signal.name}) received{sender}{action}"


class BlockedSignals:
    """Signals that wait until they are asked for."""

    __slots__ = ("_signals",)

    def __init__(self, signals: Iterable[Signals]) -> None:
        self._signals = frozenset(signals)

    def block(self) -> None:
        """Hold all of them back from now on."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def unblock(self) -> None:
        """Let them act again, in a child too: blocked signals are inherited."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)

    def wait(self, timeout: float | None) -> Received | None:
        """The next signal; None after `timeout` seconds. `timeout` None waits for ever."""
        return _wait_by_alarm(self._signals, timeout) if timeout is not None else _fetch(self._signals)


def _wait_by_alarm(signals: frozenset[Signals], timeout: float) -> Received | None:
    """The next of `signals`; None after `timeout` seconds, whose end is a signal as well.

    signal.sigtimedwait is no choice: macOS has none, and where a process is stopped and goes on after the timeout,
    CPython returns what lay in memory as a number of a signal.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, max(timeout, 0.001))  # 0 would mean: no alarm
    received = _fetch(signals | {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, 0)
    of_timer = received.signal == signal.SIGALRM and not received.sender
    if not of_timer and signal.SIGALRM in signal.sigpending():
        _fetch({signal.SIGALRM})  # the timer's end came in between
    return None if of_timer else received


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
        """All that came since the last call."""
        try:
            return [Received(Signals(number)) for number in self._receiving.recv(4096)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Give the sockets back; signals go on being caught, but nobody is told."""
        signal.set_wakeup_fd(-1)
        self._receiving.close()
        self._sending.close()


def _only_wake(number: int, frame: FrameType | None) -> None:
    """The interpreter has written the signal's number to the wakeup descriptor already."""
