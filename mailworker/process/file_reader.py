"""The child of the master that checks files of users and of certificates, and reads those that have changed.

With a dead disk such a check may take for ever, so the master does not do it itself. This child tells the master
whatever it finds; the master writes the log, and gives the contents to the workers.
"""

from __future__ import annotations

import os
import pickle
import select
import socket
from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Final

from mailworker.errors import ConfigError
from mailworker.model import Level
from mailworker.process.link import PAIRS, USERS, Found
from mailworker.process.steps import at_once
from mailworker.process.system.inotify import Inotify, is_remote
from mailworker.process.user_files import Stamp, read_users, stamp
from mailworker.shm.sealed import seal
from mailworker.tls.folder_scan import FolderScan

LONGEST: Final = 8192
"""Bytes of the longest message."""

# Seconds between checks of the files.
_PAUSE: Final = 1.0
# Seconds that a file must stay unchanged before it is read: it may still be being written.
_STILL: Final = 0.1
# Seconds between checks of folders that inotify watches: it may not report changes behind symbolic links.
_LONG_PAUSE: Final = 60.0
# Without inotify, checks take at most this part of the time.
_SHARE: Final = 0.1
# Certificates in one message: a worker takes some 0.2 ms for each, and serves no client meanwhile.
_AT_ONCE: Final = 50


class FileReader:
    """Lives as long as the other end of `link` is open.

    `stamps` are those of the files of users, `scans` the folders by their paths, both as the master has read them.
    """

    __slots__ = ("_due", "_inotify", "_link", "_read", "_rested", "_scans", "_seen", "_settled", "_stirred")

    def __init__(self, link: socket.socket, stamps: Mapping[str, Stamp], scans: Mapping[str, FolderScan]) -> None:
        self._due = 0.0 if scans else inf  # when the folders are to be checked
        self._inotify = Inotify()
        self._link = link
        self._read = dict(stamps)
        self._rested = 0.0  # when they may be checked again: files beside the certificates may change all the time
        self._scans = scans
        self._seen = dict(stamps)
        self._settled = True
        self._stirred = False  # whether something has changed there since the last check

    def run(self) -> None:
        """Check the files until the link is closed."""
        while not self._is_over():
            unsettled = [path for path in self._read if not self._look(path)]
            self._settled = not unsettled
            if monotonic() >= self._due:
                self._look_at_folders()

    def _is_over(self) -> bool:
        """Wait; returns whether the master has gone, or watches another cycle by now."""
        waiting = select.poll()  # select() fails for the link if the master has a thousand sockets
        waiting.register(self._link, select.POLLIN)
        if self._settled and not self._stirred and self._inotify.descriptor >= 0:
            waiting.register(self._inotify.descriptor, select.POLLIN)
        pause = _PAUSE if self._settled else _STILL
        ready = {number for number, _ in waiting.poll(1000 * max(0.0, min(pause, self._due - monotonic())))}
        if self._inotify.descriptor in ready:
            self._inotify.drain()
            self._stirred = True
            self._due = min(self._due, self._rested)
        return self._link.fileno() in ready

    def _look(self, path: str) -> bool:
        """Read a file of users that has changed and stayed so for a while; False where that is still to be seen."""
        now = stamp(path)
        still, self._seen[path] = now == self._seen[path], now
        if now == self._read[path]:
            return True
        if not still:
            return False
        self._read[path] = now
        try:
            self._send(USERS, path, at_once(read_users(path, self._tell)))
        except ConfigError as error:
            self._tell(Level.ERROR, f"{error}, the users stay as they were")
        return True

    def _look_at_folders(self) -> None:
        begun = monotonic()
        settled, watched, self._stirred = True, True, False
        for path, scan in self._scans.items():
            watched = self._watch(path, scan) and watched
            look = scan.look(begun)
            watched = watched and path not in scan.faults  # it may be mounted again, which inotify does not report
            settled = settled and look.settled
            for start in range(0, len(look.changes), _AT_ONCE):
                self._send(PAIRS, path, pickle.dumps(look.changes[start : start + _AT_ONCE]))
            for text in look.texts:
                self._tell(Level.WARN, text)
        now = monotonic()
        rest = (now - begun) / _SHARE
        pause = _LONG_PAUSE if watched else max(_PAUSE, rest)
        self._rested = now + min(_PAUSE, rest)
        self._due = now + (pause if settled else _STILL)
        self._settled = self._settled and settled

    def _watch(self, path: str, scan: FolderScan) -> bool:
        """Watch the folder from now on; False where inotify does not report all of its changes."""
        real = os.path.realpath(path)
        watched = not is_remote(real)
        for folder in (os.path.split(real)[0], *sorted(scan.watched)):
            watched = self._inotify.watch(folder) and watched
        return watched

    def _send(self, kind: bytes, path: str, content: bytes) -> None:
        found = Found(kind, path, seal(f"mailworker {kind.decode()}", content))
        try:
            socket.send_fds(self._link, [found.message], [found.descriptor])
        finally:
            os.close(found.descriptor)

    def _tell(self, level: Level, message: str) -> None:
        self._link.send(b"%d %b" % (level, os.fsencode(message)[: LONGEST // 2]))
