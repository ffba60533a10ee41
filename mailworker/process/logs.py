"""The logs of a cycle: files that the master opens, and who writes access logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mailworker.config.logs import LogTarget
from mailworker.config.settings import Settings
from mailworker.log.destinations import Destinations
from mailworker.log.log import Console, Log, OpenFiles, open_logs


class Logs:
    """Nothing is open before `open`, and after `close` until files are adopted."""

    __slots__ = ("_destinations", "_error_logs", "_files", "_log", "_settings")

    _log: Log

    def __init__(self, settings: Settings) -> None:
        self._destinations: Destinations | None = None
        self._error_logs: frozenset[Path] = frozenset()
        self._files = OpenFiles()
        self._settings = settings

    def open(self, console: Console | None) -> tuple[Log, list[Log]]:
        """Open all files; returns the main log and each server's, of which equal ones are one. Raises StartError."""
        opened: dict[tuple[LogTarget, ...], Log] = {}

        def get(targets: tuple[LogTarget, ...]) -> Log:
            if targets not in opened:
                opened[targets] = open_logs(targets, self._files, console)
            return opened[targets]

        self._log = get(self._settings.core.error_log)
        server_logs = [get(server.error_log) for server in self._settings.servers]
        self._error_logs = frozenset(self._files.by_path)
        for path in self._settings.access_log_files:
            self._files.open(path)
        return self._log, server_logs

    @property
    def files(self) -> Mapping[Path, int]:
        """The descriptors of all files, by their paths."""
        return self._files.by_path

    @property
    def error_log_files(self) -> Mapping[Path, int]:
        """Those of error logs."""
        return {path: descriptor for path, descriptor in self.files.items() if path in self._error_logs}

    @property
    def descriptors(self) -> list[int]:
        """What a daemon must keep open."""
        return self._files.descriptors

    def write_access_logs(self, after: Callable[[float, Callable[[], None]], None]) -> Destinations:
        """What writes the access logs from now on, in the process that does so; `after` arranges for a call later."""
        self._destinations = Destinations(self._settings.destinations, self._files.open, self._log, after)
        return self._destinations

    def leave_access_logs(self) -> None:
        """In a process that does not write them: give them back."""
        self._files.close_all_but(self._error_logs)

    def reopen(self, owner: int | None = None) -> None:
        """Begin the files anew; `owner` is the user id that workers have."""
        self._end_files()
        self._files.reopen(self._log, owner)

    def adopt(self, descriptors: Mapping[Path, int]) -> None:
        """Go on in files that the master has begun anew."""
        self._end_files()
        self._files.adopt(self._log, descriptors)

    def close(self) -> None:
        """Give the files back; nothing can be logged after that."""
        if self._destinations is not None:
            self._destinations.close()
        self._files.close()

    def _end_files(self) -> None:
        if self._destinations is not None:
            self._destinations.end_files()
