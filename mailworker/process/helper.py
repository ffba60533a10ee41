"""Helpers: processes that do work which may block for the workers of a cycle, as the same unprivileged user."""

from __future__ import annotations

import signal
import socket
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Final

from mailworker.event.listener import BoundListener
from mailworker.event.poller import READ
from mailworker.model import Level
from mailworker.process.channels import receive
from mailworker.process.child_process import ChildProcess, FromMaster
from mailworker.process.cycle import Cycle
from mailworker.process.system import identity, sandbox
from mailworker.process.system.callbacks import Watch
from mailworker.process.system.titles import title_leaving_child

LONGEST: Final = 1 << 18
"""Bytes of the longest packet; a longer one is truncated."""

# Packets that are received from one channel before the others have their turn.
_TURN: Final = 64
# Seconds to wait for the last packets of workers that are terminated at the same time, as by Ctrl-C in a terminal.
_LONGEST_FINISH: Final = 1.0


class Helper(ChildProcess):
    """Receives packets from the workers of its cycle, and exits after the last worker.

    The packets are hostile input, as an attacker may have compromised a worker.
    """

    __slots__ = ("_buffer", "_channels", "_exits_with_workers")

    has_channels: ClassVar[bool] = True
    """Whether workers have channels to it. If not, it exits when the workers of the next cycle serve."""

    def __init__(self, cycle: Cycle, number: int, master: FromMaster) -> None:
        super().__init__(cycle, number, master)
        self._buffer = memoryview(bytearray(LONGEST))
        self._channels: dict[socket.socket, None] = dict.fromkeys(master.workers)
        self._exits_with_workers = False  # whether it exits when the last channel is closed
        self._handlers |= dict.fromkeys((signal.SIGTERM, signal.SIGINT), (", exiting", self._exit_soon))

    @classmethod
    @abstractmethod
    def is_wanted(cls, cycle: Cycle) -> bool:
        """Whether a cycle needs this helper."""

    @abstractmethod
    def _receive(self, packet: memoryview, channel: socket.socket) -> None:
        """Process a worker's packet, which is valid until this returns; an answer may be sent by `channel`."""

    def _pause(self) -> None:
        """Called after the packets of one worker, or _TURN of them, have been processed."""

    def _load(self) -> None:
        """Load code while the process may be root, as its later user may not be able to read it; raises StartError."""

    def _prepare(self) -> None:
        """Open what is needed, before the sandbox is entered; raises StartError."""

    def _listens_on(self) -> Sequence[BoundListener]:
        """The cycle's listeners that it keeps open."""
        return ()

    def _begin(self) -> None:
        """Begin to work, in the sandbox."""

    def _close(self) -> None:
        """Finish: all packets of the workers have been processed."""

    def _enter_sandbox(self) -> None:
        """Enter the sandbox of `worker_sandbox on`; raises StartError."""
        sandbox.enter()

    def _start(self) -> None:
        core = self._cycle.settings.core
        kept = self._listens_on()
        for listener in self._cycle.listeners:
            if listener not in kept:
                listener.close()
        self._load()
        identity.assume(core, None, self._log)
        self._prepare()
        if core.worker_sandbox:
            self._enter_sandbox()
        for channel in self._channels:
            self._watch(channel)
        self._begin()

    def _finish(self, done: Callable[[], None]) -> None:
        done()

    def _end(self) -> None:
        while self._receiver.has_message:
            self._take_message()
        for channel in tuple(self._channels):
            while self._take(channel):
                pass
        self._close()

    def _take_channel(self, channel: socket.socket) -> None:
        self._channels[channel] = None
        self._watch(channel)

    def _watch(self, channel: socket.socket) -> None:
        self._loop.watch(channel.fileno(), READ, Watch(partial(self._take, channel)))

    def _take(self, channel: socket.socket) -> bool:
        """Receive packets; returns whether there may be more."""
        try:
            for _ in range(_TURN):
                length = receive(channel, self._buffer)
                if not length:
                    self._forget(channel)
                    return False
                self._receive(self._buffer[:length], channel)
        except BlockingIOError:
            return False
        except OSError:
            self._forget(channel)
            return False
        finally:
            self._pause()
        return True

    def _forget(self, channel: socket.socket) -> None:
        """Close the channel of a worker that has ended."""
        self._loop.forget(channel.fileno())
        channel.close()
        del self._channels[channel]
        if self._exits_with_workers and not self._channels:
            self._loop.stop()

    def _exit_soon(self) -> None:
        self._exit_with_workers()
        self._after(_LONGEST_FINISH, self._loop.stop)

    def _master_gone(self) -> None:
        """Exit with the last worker: workers without a master finish their sessions, and still need this helper."""
        self._loop.unwatch(self._master.pipe)
        self._log.write(Level.ALERT, "master process is gone, shutting down")
        title_leaving_child(self.name)
        self._exit_with_workers()

    def _exit_with_workers(self) -> None:
        self._exits_with_workers = True
        if not self._channels:
            self._loop.stop()
