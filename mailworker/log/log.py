"""A log: one `error_log` list, which may have several targets."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path

from mailworker.config.logs import FileLog, LogTarget, MemoryLog, StderrLog, SyslogLog
from mailworker.errors import StartError
from mailworker.log.line import About, LineBuilder
from mailworker.log.losses import Unwritten
from mailworker.log.sinks import FileSink, MemorySink, Sink, StderrSink, SyslogSink
from mailworker.log.terminal import tell
from mailworker.model import Level


class Console:
    """Copies lines of level [warn] and more severe ones to stderr during the start."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open = True

    def write(self, level: Level, message: str) -> None:
        """Print "mailworker: [level] TEXT" on stderr."""
        if self._open and level <= Level.WARN:
            tell(f"mailworker: [{level.name.lower()}] {message}")

    def close(self) -> None:
        """Stop copying, as the start is over, or stderr is redirected."""
        self._open = False


class OpenFiles:
    """The open files of one cycle's logs, each file once, and the sockets to syslog servers."""

    __slots__ = ("_files", "_syslogs")

    def __init__(self) -> None:
        self._files: dict[Path, FileSink] = {}
        self._syslogs: list[SyslogSink] = []

    def open(self, path: Path) -> FileSink:
        """The sink of `path`; raises StartError with nginx's text."""
        sink = self._files.get(path)
        if sink is None:
            sink = self._files[path] = FileSink(path)
        return sink

    def open_syslog(self, target: SyslogLog) -> SyslogSink:
        """A sink for a syslog server; raises StartError."""
        self._syslogs.append(SyslogSink(target.server))
        return self._syslogs[-1]

    def reopen(self, log: Log, owner: int | None = None) -> None:
        """Reopen all files. If one cannot be opened, the error is logged, and the old one is kept."""
        for sink in self._files.values():
            _try(partial(sink.reopen, owner), log)

    def adopt(self, log: Log, descriptors: Mapping[Path, int]) -> None:
        """Use the files that another process has opened. Reopen others, and close unknown ones."""
        for path, sink in self._files.items():
            known = path in descriptors
            _try(partial(sink.adopt, descriptors[path]) if known else partial(sink.reopen, None), log)
        for path in descriptors.keys() - self._files.keys():
            os.close(descriptors[path])

    def close_all_but(self, paths: Collection[Path]) -> None:
        """Close the files that are not among `paths`."""
        for path in self._files.keys() - set(paths):
            self._files.pop(path).close()

    def close(self) -> None:
        """Close all files; later lines are lost, until files are adopted."""
        for sink in self._sinks():
            sink.close()

    @property
    def by_path(self) -> dict[Path, int]:
        """The descriptor of each file that is open."""
        return {path: sink.descriptor for path, sink in self._files.items() if sink.descriptor >= 0}

    @property
    def descriptors(self) -> list[int]:
        """The descriptors that a daemon must keep open."""
        numbers = [sink.descriptor for sink in self._sinks()]
        return [number for number in numbers if number is not None and number >= 0]

    def _sinks(self) -> list[FileSink | SyslogSink]:
        return [*self._files.values(), *self._syslogs]


def _try(change: Callable[[], None], log: Log) -> None:
    try:
        change()
    except StartError as error:
        log.write(Level.EMERG, str(error))


Target = tuple[Level, Sink]
"""The most verbose level that a sink takes, and the sink."""


class Log:
    """The log of one configuration context.

    `level` is the most verbose of the targets' levels, which `limit` changes. `informative`: a target takes [info];
    `talkative`: a target takes [debug]; every session reads both. `lost`, if it is not None, is called for each line
    that a target has lost.
    """

    __slots__ = (
        "_builder", "_configured", "_console", "_json_targets", "_targets", "_unwritten",
        "informative", "level", "lost", "talkative",
    )  # fmt: skip

    def __init__(self, targets: Iterable[Target], console: Console | None = None, json: Iterable[Target] = ()) -> None:
        """`json` are the targets whose lines are JSON objects."""
        self._configured = tuple(targets), tuple(json)
        self._builder = LineBuilder()
        self._console = console
        self._unwritten: Unwritten | None = None
        self.lost: Callable[[], object] | None = None
        self.limit(None)

    def limit(self, level: Level | None) -> None:
        """Set the level of all targets; None restores each target's own level."""
        self._targets, self._json_targets = (
            tuple((each if level is None else level, sink) for each, sink in targets) for targets in self._configured
        )
        self.level = max((level for level, _ in (*self._targets, *self._json_targets)), default=Level.EMERG)
        self.informative = self.level >= Level.INFO
        self.talkative = self.level >= Level.DEBUG

    @property
    def descriptor(self) -> int | None:
        """The descriptor of the first file; None without a file, or if stderr comes first."""
        for _, sink in (*self._targets, *self._json_targets):
            if isinstance(sink, StderrSink):
                return None
            if isinstance(sink, FileSink):
                return sink.descriptor
        return None

    def verbose(self) -> Log:
        """A log with the same targets that takes lines of all levels (debug_connection)."""
        text, json = ([(Level.DEBUG, sink) for _, sink in each] for each in (self._targets, self._json_targets))
        verbose = Log(text, json=json)
        verbose.lost = self.lost
        return verbose

    def enabled(self, level: Level) -> bool:
        """Whether any target takes lines of this level."""
        return level <= self.level

    def write(self, level: Level, message: str, connection: int | None = None, about: About | None = None) -> None:
        """Log one line. `connection` is the connection's number, None for lines that belong to no connection.

        Untrusted parts of `message` must have been escaped with `escape`.
        """
        if level > self.level:
            return
        line = self._builder.build(level, message if about is None else message + about.suffix(), connection)
        on_stderr = self._write_to(self._targets, level, line)
        if self._json_targets:
            line = self._builder.build_json(level, message, connection, about)
            on_stderr = self._write_to(self._json_targets, level, line) or on_stderr
        if self._unwritten is not None:
            self._unwritten.report(self._report)
        if self._console is not None and not on_stderr:
            self._console.write(level, message)

    def _write_to(self, targets: Iterable[Target], level: Level, line: bytes) -> bool:
        """Write a line to the targets that take its level; returns whether stderr is one of them."""
        on_stderr = False
        for most_verbose, sink in targets:
            if level <= most_verbose:
                failure = sink.write(level, line)
                if failure is not None:
                    self._unwritten = self._unwritten or Unwritten()
                    self._unwritten.add(failure)
                    if self.lost is not None:
                        self.lost()
                on_stderr = on_stderr or isinstance(sink, StderrSink)
        return on_stderr

    def _report(self, text: str) -> bool:
        """Log that lines were lost; returns whether a target has taken that."""
        taken = False
        for targets, line in (
            (self._targets, self._builder.build(Level.ALERT, text)),
            (self._json_targets, self._builder.build_json(Level.ALERT, text, None, None)),
        ):
            for most_verbose, sink in targets:
                if most_verbose >= Level.ALERT and sink.write(Level.ALERT, line) is None:
                    taken = True
        return taken


def open_logs(targets: Iterable[LogTarget], files: OpenFiles, console: Console | None = None) -> Log:
    """Open the targets that an `error_log` list names; raises StartError."""
    text, json = list[Target](), list[Target]()
    for target in targets:
        (json if target.json else text).append((target.level, _open_sink(target, files)))
    return Log(text, console, json)


def _open_sink(target: LogTarget, files: OpenFiles) -> Sink:
    if isinstance(target, FileLog):
        return files.open(target.path)
    if isinstance(target, SyslogLog):
        return files.open_syslog(target)
    if isinstance(target, MemoryLog):
        return MemorySink(target.size)
    assert isinstance(target, StderrLog)
    return StderrSink()
