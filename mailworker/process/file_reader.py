"""The child of the master that looks for changes of user files and certificates, and reads what has changed.

The master does not do that itself, as access to a dead disk may never return. The child sends the master updates and
log lines; the master writes the log, and sends the updates to the workers.
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
from mailworker.process.link import PAIRS, USERS, FileUpdate
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
_QUIET_TIME: Final = 0.1
# Seconds between checks of folders that inotify watches, as it may not report changes behind symbolic links.
_LONG_PAUSE: Final = 60.0
# The part of the time that checks may take without inotify.
_SHARE: Final = 0.1
# Certificates in one message: a worker takes some 0.2 ms for each, and serves no client meanwhile.
_MOST_CERTIFICATES: Final = 50


class FileReader:
    """Runs until the other end of `link` is closed.

    `stamps` are those of user files, `scans` are certificate folders by their paths, both as the master has read them.
    """

    __slots__ = ("_changed", "_due", "_inotify", "_link", "_not_before", "_read", "_scans", "_seen", "_settled")

    def __init__(self, link: socket.socket, stamps: Mapping[str, Stamp], scans: Mapping[str, FolderScan]) -> None:
        self._due = 0.0 if scans else inf  # when the folders are to be checked
        self._inotify = Inotify()
        self._link = link
        self._read = dict(stamps)
        self._not_before = 0.0  # when they may be checked again, as other files there may change all the time
        self._scans = scans
        self._seen = dict(stamps)
        self._settled = True
        self._changed = False  # whether something has changed there since the last check

    def run(self) -> None:
        """Check the files until the link is closed."""
        while not self._wait():
            unsettled = [path for path in self._read if not self._check_users(path)]
            self._settled = not unsettled
            if monotonic() >= self._due:
                self._check_folders()

    def _wait(self) -> bool:
        """Wait. Returns whether the link is closed: the master is gone, or watches another cycle."""
        waiting = select.poll()  # select() fails for the link if the master has a thousand sockets
        waiting.register(self._link, select.POLLIN)
        if self._settled and not self._changed and self._inotify.descriptor >= 0:
            waiting.register(self._inotify.descriptor, select.POLLIN)
        pause = _PAUSE if self._settled else _QUIET_TIME
        ready = {number for number, _ in waiting.poll(1000 * max(0.0, min(pause, self._due - monotonic())))}
        if self._inotify.descriptor in ready:
            self._inotify.drain()
            self._changed = True
            self._due = min(self._due, self._not_before)
        return self._link.fileno() in ready

    def _check_users(self, path: str) -> bool:
        """Read a user file if it has changed, and then stayed the same for a while; False if it may still change."""
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

    def _check_folders(self) -> None:
        begun = monotonic()
        settled, watched, self._changed = True, True, False
        for path, scan in self._scans.items():
            watched = self._watch(path, scan) and watched
            found = scan.find_changes(begun)
            watched = watched and path not in scan.faults  # inotify does not report a mount
            settled = settled and found.settled
            for start in range(0, len(found.changes), _MOST_CERTIFICATES):
                self._send(PAIRS, path, pickle.dumps(found.changes[start : start + _MOST_CERTIFICATES]))
            for text in found.texts:
                self._tell(Level.WARN, text)
        now = monotonic()
        rest = (now - begun) / _SHARE
        pause = _LONG_PAUSE if watched else max(_PAUSE, rest)
        self._not_before = now + min(_PAUSE, rest)
        self._due = now + (pause if settled else _QUIET_TIME)
        self._settled = self._settled and settled

    def _watch(self, path: str, scan: FolderScan) -> bool:
        """Watch the folder by inotify; False if that does not report all of its changes."""
        real = os.path.realpath(path)
        watched = not is_remote(real)
        for folder in (os.path.split(real)[0], *sorted(scan.watched)):
            watched = self._inotify.watch(folder) and watched
        return watched

    def _send(self, kind: bytes, path: str, content: bytes) -> None:
        update = FileUpdate(kind, path, seal(f"mailworker {kind.decode()}", content))
        try:
            socket.send_fds(self._link, [update.message], [update.descriptor])
        finally:
            os.close(update.descriptor)

    def _tell(self, level: Level, message: str) -> None:
        self._link.send(b"%d %b" % (level, os.fsencode(message)[: LONGEST // 2]))
