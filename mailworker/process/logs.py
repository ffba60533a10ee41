"""The logs of a cycle: files that the master opens, and the writer of access logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mailworker.config.destinations import Destination, literal_paths
from mailworker.config.logs import LogTarget
from mailworker.log.destinations import Destinations
from mailworker.log.log import Console, Log, OpenFiles, open_logs
from mailworker.model import After, Level


class Logs:
    """Nothing is open before `open`, and after `close` until files are adopted."""

    __slots__ = ("_destinations", "_error_log_paths", "_error_logs", "_files", "_log", "_opened", "_writing")

    _log: Log

    def __init__(self, error_logs: Sequence[tuple[LogTarget, ...]], destinations: Sequence[Destination]) -> None:
        """`error_logs` are the main one and each server's, `destinations` those of all access logs."""
        self._destinations = destinations
        self._error_log_paths: frozenset[Path] = frozenset()
        self._error_logs = error_logs
        self._files = OpenFiles()
        self._opened: tuple[Log, ...] = ()
        self._writing: Destinations | None = None

    def open(self, console: Console | None) -> tuple[Log, list[Log]]:
        """Open all files; returns the main log and each server's, of which equal ones are one. Raises StartError."""
        opened: dict[tuple[LogTarget, ...], Log] = {}

        def get(targets: tuple[LogTarget, ...]) -> Log:
            if targets not in opened:
                opened[targets] = open_logs(targets, self._files, console)
            return opened[targets]

        self._log, *server_logs = map(get, self._error_logs)
        self._opened = (*opened.values(),)
        self._error_log_paths = frozenset(self._files.by_path)
        for path in literal_paths(self._destinations):
            self._files.open(path)
        return self._log, server_logs

    def limit(self, level: Level | None) -> None:
        """Let all error logs take lines of this level and graver ones; None: as the configuration has it."""
        for log in self._opened:
            log.limit(level)

    @property
    def level(self) -> Level:
        """The most verbose level that the main error log takes."""
        return self._log.level

    @property
    def files(self) -> Mapping[Path, int]:
        """The descriptors of all files, by their paths."""
        return self._files.by_path

    @property
    def error_log_files(self) -> Mapping[Path, int]:
        """Those of error logs."""
        return {path: descriptor for path, descriptor in self.files.items() if path in self._error_log_paths}

    @property
    def descriptors(self) -> list[int]:
        """What a daemon must keep open."""
        return self._files.descriptors

    def write_access_logs(self, after: After) -> Destinations:
        """What writes the access logs from now on, in the process that does so; `after` arranges for a call later."""
        self._writing = Destinations(self._destinations, self._files.open, self._log, after)
        return self._writing

    def leave_access_logs(self) -> None:
        """In a process that does not write them: give them back."""
        self._files.close_all_but(self._error_log_paths)

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
        if self._writing is not None:
            self._writing.close()
        self._files.close()

    def _end_files(self) -> None:
        if self._writing is not None:
            self._writing.end_files()
