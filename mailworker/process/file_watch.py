"""Files of users, and certificates, that change while they serve.

A child looks at them, as the user that the master is, and reads them again when they are others: see `file_reader`. The
master and its workers get memory that nobody can change.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mailworker.event.timers import Timed
from mailworker.log.line import describe
from mailworker.model import Level
from mailworker.process.cycle import Cycle
from mailworker.process.file_reader import LONGEST, FileReader
from mailworker.process.link import Found
from mailworker.process.system.inherited_state import close_all_but
from mailworker.process.system.titles import title_file_reader

# Seconds between looks at what the child has told, and until workers are given again what they had no room for.
_PAUSE: Final = 0.5
_SHORT_PAUSE: Final = 0.05
# Seconds until a child is replaced that has ended, doubling up to the last.
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0

HandOut = Callable[[Found], bool]
"""Gives all workers what was found; False where one has to be given it later."""


class FileWatch(Timed):
    """Keeps users and certificates of a cycle as their files have them; a cycle without such files costs nothing.

    For `expire_after` see TicketRotation; `hand_out` gives to workers what has changed.
    """

    __slots__ = ("_cycle", "_expire_after", "_fresh", "_hand_out", "_pid", "_retry")

    def __init__(self, expire_after: Callable[[Timed, float], None], hand_out: HandOut) -> None:
        super().__init__()
        self._cycle: Cycle | None = None
        self._expire_after = expire_after
        self._fresh: list[Found] = []  # what some worker has not been given yet, in its order
        self._hand_out = hand_out
        self._pid: int | None = None
        self._retry = _FIRST_RETRY

    def follow(self, cycle: Cycle) -> None:
        """Care for this cycle from now on, and for the one before no more."""
        self.close()
        self._cycle = cycle
        if cycle.watched:
            self._start(cycle)

    def expire(self) -> None:
        """Hear what the child has found, and pass it on."""
        cycle = self._cycle
        if cycle is None:
            return
        if self._pid is None:
            self._start(cycle)
            return
        alive = self._hear(cycle)
        while self._fresh and self._hand_out(self._fresh[0]):
            os.close(self._fresh.pop(0).descriptor)
        if alive:
            self._expire_after(self, _SHORT_PAUSE if self._fresh else _PAUSE)
        else:
            cycle.log.write(Level.ALERT, f"file reader {self._pid} has ended")
            self._end_child(cycle)
            self._expire_after(self, self._retry)
            self._retry = min(self._retry * 2, _LAST_RETRY)

    def close(self) -> None:
        """Watch no more."""
        if self._cycle is not None:
            self._end_child(self._cycle)
        self._cycle = None
        for found in self._fresh:
            os.close(found.descriptor)
        self._fresh.clear()

    def _start(self, cycle: Cycle) -> None:
        try:
            cycle.watched.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._pid = os.fork()
                if self._pid == 0:
                    os._exit(_live(theirs, cycle))
            cycle.watched.link.setblocking(False)
        except OSError as error:
            cycle.log.write(Level.ALERT, f"file reader could not be started {describe(error)}")
            self._end_child(cycle)
        self._expire_after(self, _PAUSE)

    def _end_child(self, cycle: Cycle) -> None:
        """It ends by itself when nobody listens, and is put to rest by us or by the master."""
        cycle.watched.leave()
        if self._pid is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)
        self._pid = None

    def _hear(self, cycle: Cycle) -> bool:
        """Take what the child has found; False where it has ended."""
        link = cycle.watched.link
        while link is not None:
            try:
                message, descriptors, _, _ = socket.recv_fds(link, LONGEST, 1)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not message:
                return False
            self._take(cycle, message, descriptors)
        return False

    def _take(self, cycle: Cycle, message: bytes, descriptors: list[int]) -> None:
        if not descriptors:
            level, _, text = message.partition(b" ")
            cycle.log.write(Level(int(level)), os.fsdecode(text))
            return
        found = Found.of(message, *descriptors)
        told = cycle.watched.adopt(found._replace(descriptor=os.dup(found.descriptor)))
        if told:
            cycle.log.write(Level.NOTICE, told)
        self._fresh.append(found)


def _live(link: socket.socket, cycle: Cycle) -> int:
    """The child's life; returns its exit code. It has nothing but the link, and ends with that."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # sent to the master's whole group; the master says when it is over
        gc.freeze()  # a collection would copy all that is shared with the master
        title_file_reader()
        close_all_but(link.fileno())
        FileReader(link, cycle.watched.users.stamps, cycle.watched.folders.scans).run()
    except BaseException:  # it must not go on in the master's frames, which starts another one
        return 1
    return 0
