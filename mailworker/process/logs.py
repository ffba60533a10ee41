"""The logs of a cycle: files that the master opens, and the writer of access logs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from mailworker.config.destinations import Destination, literal_paths
from mailworker.config.logs import LogTarget
from mailworker.log.destinations import Destinations
from mailworker.log.log import Console, Log, OpenFiles, open_logs
from mailworker.model import After, Level


class Logs:
    """The logs are closed before `open`, and after `close` until files are adopted.

    `limited` is the level that `limit` has set, None for that of the configuration.
    """

    __slots__ = (
        "_destinations", "_error_log_paths", "_error_logs", "_files", "_log", "_opened", "_writing", "limited",
    )  # fmt: skip

    _log: Log

    def __init__(self, error_logs: Sequence[tuple[LogTarget, ...]], destinations: Sequence[Destination]) -> None:
        """`error_logs` are the main one and each server's, `destinations` those of all access logs."""
        self._destinations = destinations
        self._error_log_paths: frozenset[Path] = frozenset()
        self._error_logs = error_logs
        self._files = OpenFiles()
        self._opened: tuple[Log, ...] = ()
        self._writing: Destinations | None = None
        self.limited: Level | None = None

    def open(self, console: Console | None) -> tuple[Log, list[Log]]:
        """Open all files; returns the main log and each server's, one Log for equal ones. Raises StartError."""
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
        """Set the level of all error logs; None restores the configured levels."""
        self.limited = level
        for log in self._opened:
            log.limit(level)

    def count_lost(self, count: Callable[[], object]) -> None:
        """Call `count` for each line that an error log loses."""
        for log in self._opened:
            log.lost = count

    @property
    def level(self) -> Level:
        """The level of the main error log."""
        return self._log.level

    @property
    def files(self) -> Mapping[Path, int]:
        """The descriptors of all files, by their paths."""
        return self._files.by_path

    @property
    def error_log_files(self) -> Mapping[Path, int]:
        """The descriptors of the error logs."""
        return {path: descriptor for path, descriptor in self.files.items() if path in self._error_log_paths}

    @property
    def descriptors(self) -> list[int]:
        """The descriptors that a daemon must keep open."""
        return self._files.descriptors

    def write_access_logs(self, after: After) -> Destinations:
        """The destinations of access logs, in the process that writes them; `after` arranges for a call later."""
        self._writing = Destinations(self._destinations, self._files.open, self._log, after)
        return self._writing

    def close_all_but(self, paths: Collection[Path]) -> None:
        """Close the files that are not among `paths`, as this process does not write them."""
        self._files.close_all_but(paths)

    def reopen(self, owner: int | None = None) -> None:
        """Open the files again; `owner` is the user id of the workers."""
        self._end_files()
        self._files.reopen(self._log, owner)

    def adopt(self, descriptors: Mapping[Path, int]) -> None:
        """Continue with the files that the master has reopened."""
        self._end_files()
        self._files.adopt(self._log, descriptors)

    def close(self) -> None:
        """Close the files; nothing can be logged after that."""
        if self._writing is not None:
            self._writing.close()
        self._files.close()

    def _end_files(self) -> None:
        if self._writing is not None:
            self._writing.end_files()
