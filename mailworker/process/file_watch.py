"""User files and certificates that change while they are in use.

A child that runs as the master's user checks them, and reads those that have changed: see `file_reader`. The master and
its workers get the contents in memory that no process can change.
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
from mailworker.log.line import describe_lack
from mailworker.log.terminal import discard_output
from mailworker.model import Level
from mailworker.process.cycle import Cycle
from mailworker.process.file_reader import LONGEST, FileReader
from mailworker.process.link import FileUpdate
from mailworker.process.system.inherited_state import close_all_but
from mailworker.process.system.reserve import Reserve
from mailworker.process.system.titles import title_child

# Seconds between two reads of the child's messages.
_PAUSE: Final = 0.5
# Seconds before a child that has ended or could not be started is replaced, doubling up to the last; after a child that
# ran for longer than the last, they begin with the first again.
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0

# Descriptors that a message needs: its own, and a duplicate for this process.
_DESCRIPTORS: Final = 2

Notify = Callable[[socket.socket], None]
"""Arranges for a call of `receive` when a message arrives on a link; raises OSError."""

HandOut = Callable[[FileUpdate], None]
"""Sends an update to all workers, and closes its descriptor."""


class FileWatch(Timed):
    """Keeps the users and certificates of a cycle up to date with their files. Without such files no child runs.

    `expire_after(timed, seconds)` sets a deadline, and replaces the former one. `hand_out` sends updates to workers.
    `notify` has `receive` called when there is a message; if it is None, messages are polled for.
    """

    __slots__ = ("_cycle", "_expire_after", "_hand_out", "_link", "_notify", "_pid", "_reserve", "_retry", "_started")

    def __init__(
        self, expire_after: Callable[[Timed, float], None], hand_out: HandOut, notify: Notify | None = None
    ) -> None:
        super().__init__()
        self._notify = notify
        self._cycle: Cycle | None = None
        self._expire_after = expire_after
        self._hand_out = hand_out
        self._link: socket.socket | None = None  # to the child, if one runs
        self._pid = 0
        self._reserve = Reserve(_DESCRIPTORS)
        self._retry = _FIRST_RETRY
        self._started = 0.0

    def follow(self, cycle: Cycle) -> None:
        """Watch the files of this cycle, and no longer those of the previous one."""
        self.close()
        if cycle.watched:
            self._cycle = cycle
            self._start(cycle)

    def expire(self) -> None:
        """Start the child if none runs, else receive its messages."""
        if self._cycle is not None and self._link is None:
            self._start(self._cycle)
        else:
            self.receive()

    def receive(self) -> None:
        """Receive the child's messages, and pass on its updates."""
        cycle, link = self._cycle, self._link
        if cycle is None or link is None:
            return
        try:
            if self._receive(cycle, link):
                self._poll_later()
                return
            failure = f"file reader {self._pid} has ended"
        except (MemoryError, OSError) as error:  # the next child reads all again that has changed
            failure = f"a message of file reader {self._pid} could not be taken {describe_lack(error)}"
        cycle.log.write(Level.ALERT, failure)
        self._end_child()
        self._start_later()

    def close(self) -> None:
        """Stop watching."""
        self._end_child()
        self._cycle = None
        self._reserve.close()

    def leave(self) -> None:
        """Close, in a child, what only the master may have."""
        self._reserve.close()
        if self._link is not None:
            self._link.close()

    def _start(self, cycle: Cycle) -> None:
        self._started = monotonic()
        try:
            self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                if self._notify is not None:
                    self._notify(self._link)
                self._pid = os.fork()
                if self._pid == 0:
                    os._exit(_run_child(theirs, cycle))
            self._link.setblocking(False)
        except (MemoryError, OSError) as error:
            cycle.log.write(Level.ALERT, f"file reader could not be started {describe_lack(error)}")
            self._end_child()
            self._start_later()
        else:
            self._reserve.fill()
            self._poll_later()

    def _start_later(self) -> None:
        """Start another child after a pause, which grows while children end early or cannot be started."""
        if monotonic() - self._started > _LAST_RETRY:
            self._retry = _FIRST_RETRY
        self._expire_after(self, self._retry)
        self._retry = min(self._retry * 2, _LAST_RETRY)

    def _poll_later(self) -> None:
        if self._notify is None:
            self._expire_after(self, _PAUSE)

    def _end_child(self) -> None:
        """Close the child's link, so that it exits; it is reaped here, or later by the master."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._pid:
            with suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)
        self._pid = 0

    def _receive(self, cycle: Cycle, link: socket.socket) -> bool:
        """Receive messages; False if the child has ended."""
        while True:
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

    def _take(self, cycle: Cycle, message: bytes, descriptors: list[int]) -> None:
        if not descriptors:
            level, _, text = message.partition(b" ")
            cycle.log.write(Level(int(level)), os.fsdecode(text))
            return
        found = FileUpdate.of(message, *descriptors)
        try:
            told = cycle.watched.adopt(found._replace(descriptor=os.dup(found.descriptor)))
        except BaseException:
            os.close(found.descriptor)
            raise
        if told:
            cycle.log.write(Level.NOTICE, told)
        self._hand_out(found)


def _run_child(link: socket.socket, cycle: Cycle) -> int:
    """Run the child; returns its exit code. It keeps no descriptor but the link, and exits when that is closed."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # these may be sent to the master's process group
        gc.freeze()  # the collector would copy the memory that is shared with the master
        title_child("file reader")
        discard_output(2)  # it is the error log, and a reopened one is not sent to this process
        close_all_but(link.fileno())
        FileReader(link, cycle.watched.users.stamps, cycle.watched.folders.scans).run()
    except BaseException:  # it must not propagate into the code of the master, which starts another child
        return 1
    return 0
