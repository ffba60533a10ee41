"""Users of files that change while they serve.

To look at a file may take as long as a dead disk likes, so a child does it, as the user that the master is, and reads
it again when it is another one. The master and its workers get memory that nobody can change.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from mailworker.errors import ConfigError
from mailworker.event.timers import Timed
from mailworker.log.line import describe
from mailworker.model import Level
from mailworker.process.cycle import Cycle
from mailworker.process.system.inherited_state import close_all_but
from mailworker.process.system.titles import title_user_file_reader
from mailworker.process.user_files import Stamp, read_users, stamp
from mailworker.shm.sealed import seal

# Seconds between looks at the files, and at what the child has told.
_PAUSE: Final = 1.0
# Seconds that a file must stay as it is before it is read: somebody may be writing it.
_STILL: Final = 0.1
# Seconds until a child is replaced that has ended, doubling up to the last.
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0

_LONGEST: Final = 8192

HandOut = Callable[[str, int], bool]
"""Gives all workers the users of a file, as a descriptor; False where one has to be given them later."""


class UserFileWatch(Timed):
    """Keeps the users of a cycle as their files have them; a cycle without such files costs nothing.

    For `expire_after` see TicketRotation; `hand_out` gives users to workers.
    """

    __slots__ = ("_cycle", "_expire_after", "_fresh", "_hand_out", "_pid", "_retry")

    def __init__(self, expire_after: Callable[[Timed, float], None], hand_out: HandOut) -> None:
        super().__init__()
        self._cycle: Cycle | None = None
        self._expire_after = expire_after
        self._fresh: dict[str, int] = {}  # what some worker has not been given yet
        self._hand_out = hand_out
        self._pid: int | None = None
        self._retry = _FIRST_RETRY

    def follow(self, cycle: Cycle) -> None:
        """Care for this cycle from now on, and for the one before no more."""
        self.close()
        self._cycle = cycle
        if cycle.user_files.users:
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
        for path, descriptor in tuple(self._fresh.items()):
            if self._hand_out(path, descriptor):
                os.close(self._fresh.pop(path))
        if alive:
            self._expire_after(self, _PAUSE)
        else:
            cycle.log.write(Level.ALERT, f"user file reader {self._pid} has ended")
            self._end_child(cycle)
            self._expire_after(self, self._retry)
            self._retry = min(self._retry * 2, _LAST_RETRY)

    def close(self) -> None:
        """Watch no more."""
        if self._cycle is not None:
            self._end_child(self._cycle)
        self._cycle = None
        for descriptor in self._fresh.values():
            os.close(descriptor)
        self._fresh.clear()

    def _start(self, cycle: Cycle) -> None:
        files = cycle.user_files
        try:
            files.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._pid = os.fork()
                if self._pid == 0:
                    os._exit(_live(theirs, files.stamps))
            files.link.setblocking(False)
        except OSError as error:
            cycle.log.write(Level.ALERT, f"user file reader could not be started {describe(error)}")
            self._end_child(cycle)
        self._expire_after(self, _PAUSE)

    def _end_child(self, cycle: Cycle) -> None:
        """It ends by itself when nobody listens, and is put to rest by us or by the master."""
        cycle.user_files.leave()
        if self._pid is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)
        self._pid = None

    def _hear(self, cycle: Cycle) -> bool:
        """Take what the child has found; False where it has ended."""
        link = cycle.user_files.link
        while link is not None:
            try:
                message, descriptors, _, _ = socket.recv_fds(link, _LONGEST, 1)
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
        path, (descriptor,) = os.fsdecode(message), descriptors
        cycle.user_files.adopt(path, os.dup(descriptor))
        cycle.user_files.stamps[path] = Stamp()  # a child in place of this one reads it again
        cycle.log.write(Level.NOTICE, f'user file "{path}" has changed, {cycle.user_files.count(path)} users')
        if path in self._fresh:
            os.close(self._fresh[path])
        self._fresh[path] = descriptor


def _live(link: socket.socket, stamps: Mapping[str, Stamp]) -> int:
    """The child's life; returns its exit code. It has nothing but the link, and ends with that."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # sent to the master's whole group; the master says when it is over
        gc.freeze()  # a collection would copy all that is shared with the master
        title_user_file_reader()
        close_all_but(link.fileno())
        _Reader(link, stamps).run()
    except BaseException:  # it must not go on in the master's frames, which starts another one
        return 1
    return 0


class _Reader:
    """What the child does. Whatever it meets it tells the master, who has a log."""

    __slots__ = ("_link", "_read", "_seen")

    def __init__(self, link: socket.socket, stamps: Mapping[str, Stamp]) -> None:
        self._link = link
        self._read = dict(stamps)
        self._seen = dict(stamps)

    def run(self) -> None:
        pause = _PAUSE
        while not self._is_over(pause):
            unsettled = [path for path in self._read if not self._look(path)]
            pause = _STILL if unsettled else _PAUSE

    def _is_over(self, seconds: float) -> bool:
        """Wait; whether the master has gone, or cares for another cycle."""
        readable, _, _ = select.select([self._link], [], [], seconds)
        return bool(readable)

    def _look(self, path: str) -> bool:
        """Read a file that is another one, if it is so for a while; False where that is still to be seen."""
        now = stamp(path)
        still, self._seen[path] = now == self._seen[path], now
        if now == self._read[path]:
            return True
        if not still:
            return False
        self._read[path] = now
        try:
            self._send(path)
        except ConfigError as error:
            self._tell(Level.ERROR, f"{error}, the users stay as they were")
        return True

    def _send(self, path: str) -> None:
        reading = read_users(path, self._tell)
        while True:
            try:
                next(reading)
            except StopIteration as end:
                descriptor = seal("mailworker users", end.value)
                break
        try:
            socket.send_fds(self._link, [os.fsencode(path)], [descriptor])
        finally:
            os.close(descriptor)

    def _tell(self, level: Level, message: str) -> None:
        self._link.send(b"%d %b" % (level, os.fsencode(message)[: _LONGEST // 2]))
