"""A helper process: it does for the workers of a cycle what may block, and runs as their unprivileged user."""

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
"""Bytes of the longest packet. The rest of what a worker sends is cut off."""

# Packets that are taken from one channel before the other channels have their turn.
_TURN: Final = 64
# Seconds that it waits for the workers' last packets when all processes are ended at once, as by a terminal.
_LAST_WORDS: Final = 1.0


class Helper(ChildProcess):
    """Takes packets from the workers of its cycle, and ends after the last of them.

    The packets are hostile input: an attacker may have taken over a worker.
    """

    __slots__ = ("_buffer", "_channels", "_outlives")

    hears: ClassVar[bool] = True
    """Whether workers have channels to it."""

    outlasts: ClassVar[bool] = True
    """Whether workers of a former cycle still need it: if not, it leaves when those of the next one serve."""

    def __init__(self, cycle: Cycle, number: int, master: FromMaster) -> None:
        super().__init__(cycle, number, master)
        self._buffer = memoryview(bytearray(LONGEST))
        self._channels: dict[socket.socket, None] = dict.fromkeys(master.workers)
        self._outlives = False  # whether it ends with the last channel
        self._handlers |= dict.fromkeys((signal.SIGTERM, signal.SIGINT), (", exiting", self._hear_last_words))

    @classmethod
    @abstractmethod
    def is_wanted(cls, cycle: Cycle) -> bool:
        """Whether a cycle needs this helper."""

    @abstractmethod
    def _receive(self, packet: memoryview, channel: socket.socket) -> None:
        """Take a worker's packet, which is valid until this returns; an answer may be sent by `channel`."""

    def _pause(self) -> None:
        """Called when one worker's packets have been taken, or a turn of them."""

    def _load(self) -> None:
        """Load code, which the helper's own user may not be able to read; raises StartError."""

    def _prepare(self) -> None:
        """Open what the task needs, before the sandbox; raises StartError."""

    def _listens_on(self) -> Sequence[BoundListener]:
        """The cycle's listeners that it keeps open."""
        return ()

    def _begin(self) -> None:
        """Begin the task, inside the sandbox."""

    def _close(self) -> None:
        """Leave in order: all packets of the workers have been taken."""

    def _fence(self) -> None:
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
            self._fence()
        for channel in self._channels:
            self._watch(channel)
        self._begin()

    def _finish(self, done: Callable[[], None]) -> None:
        done()

    def _end(self) -> None:
        while self._receiver.waits:
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
        """Take packets; returns whether there may be more."""
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
        """Drop the channel of a worker that has gone."""
        self._loop.forget(channel.fileno())
        channel.close()
        del self._channels[channel]
        if self._outlives and not self._channels:
            self._loop.stop()

    def _hear_last_words(self) -> None:
        self._outlive()
        self._after(_LAST_WORDS, self._loop.stop)

    def _miss_master(self) -> None:
        """Stay while there are workers: without a master they finish their sessions, and still need help."""
        self._loop.unwatch(self._master.pipe)
        self._log.write(Level.ALERT, "master process is gone, shutting down")
        title_leaving_child(self.name)
        self._outlive()

    def _outlive(self) -> None:
        self._outlives = True
        if not self._channels:
            self._loop.stop()
