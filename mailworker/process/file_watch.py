"""Files of users, and certificates, that change while they are served.

A child, with the master's user, checks them and reads those that have changed: see `file_reader`. The master and its
workers get the contents in memory that no process can change.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from mailworker.event.timers import Timed
from mailworker.log.line import describe
from mailworker.log.terminal import discard_output
from mailworker.model import Level
from mailworker.process.cycle import Cycle
from mailworker.process.file_reader import LONGEST, FileReader
from mailworker.process.link import Found
from mailworker.process.system.inherited_state import close_all_but
from mailworker.process.system.reserve import Reserve
from mailworker.process.system.titles import title_child

# Seconds between looks at the child's messages.
_PAUSE: Final = 0.5
# Seconds until a child is replaced that has ended or could not be started, doubling up to the last. One that has lived
# for longer than that begins anew.
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0

# Descriptors that a message needs: its own, and a duplicate for what the process reads of it.
_AT_ONCE: Final = 2

Call = Callable[[socket.socket], None]
"""Has `hear` called when a message comes by a link; raises OSError."""

HandOut = Callable[[Found], None]
"""Gives all workers what was found, and closes its descriptor."""


class FileWatch(Timed):
    """Keeps a cycle's users and certificates up to date with their files; a cycle without such files costs nothing.

    For `expire_after` see TicketRotation; `hand_out` gives changes to the workers. With `call` the process sleeps until
    there are some; without it, it looks for them.
    """

    __slots__ = ("_call", "_cycle", "_expire_after", "_hand_out", "_pid", "_reserve", "_retry", "_started")

    def __init__(
        self, expire_after: Callable[[Timed, float], None], hand_out: HandOut, call: Call | None = None
    ) -> None:
        super().__init__()
        self._call = call
        self._cycle: Cycle | None = None
        self._expire_after = expire_after
        self._hand_out = hand_out
        self._pid: int | None = None
        self._reserve = Reserve(_AT_ONCE)
        self._retry = _FIRST_RETRY
        self._started = 0.0

    def follow(self, cycle: Cycle) -> None:
        """Watch the files of this cycle from now on, and no longer those of the one before."""
        self.close()
        self._cycle = cycle
        if cycle.watched:
            self._start(cycle)

    def expire(self) -> None:
        """Start a child if there is none, else hear it."""
        if self._cycle is not None and self._pid is None:
            self._start(self._cycle)
        else:
            self.hear()

    def hear(self) -> None:
        """Take what the child has found, and pass it on."""
        cycle = self._cycle
        if cycle is None or self._pid is None:
            return
        if self._hear(cycle):
            self._look_again()
        else:
            cycle.log.write(Level.ALERT, f"file reader {self._pid} has ended")
            self._end_child(cycle)
            self._start_later()

    def close(self) -> None:
        """Watch no more."""
        if self._cycle is not None:
            self._end_child(self._cycle)
        self._cycle = None
        self._reserve.close()

    def leave(self) -> None:
        """Close, in a child, what only the master may have; `WatchedFiles.close` closes the link."""
        self._reserve.close()

    def _start(self, cycle: Cycle) -> None:
        self._started = monotonic()
        try:
            cycle.watched.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                if self._call is not None:
                    self._call(cycle.watched.link)
                self._pid = os.fork()
                if self._pid == 0:
                    os._exit(_live(theirs, cycle))
            cycle.watched.link.setblocking(False)
        except OSError as error:
            cycle.log.write(Level.ALERT, f"file reader could not be started {describe(error)}")
            self._end_child(cycle)
            self._start_later()
        else:
            self._reserve.fill()
            self._look_again()

    def _start_later(self) -> None:
        """Start another child after a pause, which grows as long as children end soon, or cannot be started."""
        if monotonic() - self._started > _LAST_RETRY:
            self._retry = _FIRST_RETRY
        self._expire_after(self, self._retry)
        self._retry = min(self._retry * 2, _LAST_RETRY)

    def _look_again(self) -> None:
        if self._call is None:
            self._expire_after(self, _PAUSE)

    def _end_child(self, cycle: Cycle) -> None:
        """Close its link, by which it ends by itself; we reap it here, or the master does later."""
        cycle.watched.close()
        if self._pid is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)
        self._pid = None

    def _hear(self, cycle: Cycle) -> bool:
        """Take what the child has found; False where it has ended."""
        link = cycle.watched.link
        while link is not None:
            with self._reserve:
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
        self._hand_out(found)


def _live(link: socket.socket, cycle: Cycle) -> int:
    """The child's life; returns its exit code. It has no descriptor but the link, and ends when that is closed."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # may be sent to the master's whole group; the master ends this
        gc.freeze()  # a collection would copy all that is shared with the master
        title_child("file reader")
        discard_output(2)  # it was the error log, of which nobody gives us the next one
        close_all_but(link.fileno())
        FileReader(link, cycle.watched.users.stamps, cycle.watched.folders.scans).run()
    except BaseException:  # must not run on into the master's frames; the master starts another child
        return 1
    return 0
