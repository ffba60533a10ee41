"""`error_log TARGET [LEVEL] [json]` (ngx_log_set_log)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailworker.config.rows import Value
from mailworker.config.slots import repeated
from mailworker.config.syslog import SyslogServer, read_syslog
from mailworker.config.tree import Parser
from mailworker.config.values import size
from mailworker.model import Level


@dataclass(frozen=True, slots=True)
class FileLog:
    """`error_log PATH LEVEL`; `path` is absolute."""

    path: Path
    level: Level
    json: bool = False


@dataclass(frozen=True, slots=True)
class StderrLog:
    """`error_log stderr LEVEL`."""

    level: Level
    json: bool = False


@dataclass(frozen=True, slots=True)
class SyslogLog:
    """`error_log syslog:server=...,facility=...,tag=...,nohostname LEVEL`."""

    server: SyslogServer
    level: Level
    json: bool = False


@dataclass(frozen=True, slots=True)
class MemoryLog:
    """`error_log memory:SIZE LEVEL`: a ring buffer of `size` bytes, for a debugger."""

    size: int
    level: Level
    json: bool = False


LogTarget = FileLog | StderrLog | SyslogLog | MemoryLog
"""With `json` each line is a JSON object."""


_LEVELS: Final = {level.name.lower(): level for level in Level}
_JSON: Final = ("json", "format=json")  # nginx's word and Angie's
_LEAST_BUFFER: Final = 51 + 2048  # bytes: what nginx marks the ring with, beside the file's name, and a whole record
_DEBUG_PARTS: Final = {f"debug_{part}" for part in ("core", "alloc", "mutex", "event", "http", "mail", "stream")}


def _target(parser: Parser) -> LogTarget:
    name = parser.words[1]
    if name in ("stderr", ""):
        return StderrLog(*_level_and_form(parser))
    if name.startswith("memory:"):
        buffer = _buffer_size(parser, name.removeprefix("memory:"))
        return MemoryLog(buffer, *_level_and_form(parser))
    if name.startswith("syslog:"):
        return SyslogLog(read_syslog(parser, name.removeprefix("syslog:")), *_level_and_form(parser))
    return FileLog(Path(parser.below_prefix(name)), *_level_and_form(parser))


def _buffer_size(parser: Parser, text: str) -> int:
    buffer = size(text)
    if buffer is None or buffer < _LEAST_BUFFER + len((parser.where or "").rpartition(":")[0]):
        raise parser.error(f'invalid buffer size "{text}"')
    return buffer


def _level_and_form(parser: Parser) -> tuple[Level, bool]:
    """The level, and whether the lines are JSON."""
    levels = [word for word in parser.words[2:] if word not in _JSON]
    forms = len(parser.words) - 2 - len(levels)
    if forms > 1:
        raise parser.error('duplicate parameter "json"')
    return _level(parser, levels), bool(forms)


def _level(parser: Parser, words: Sequence[str]) -> Level:
    """The level; each part of the debug log that is named turns on all of it."""
    level: Level | None = None
    debug_parts = False
    for word in words:
        if word in _LEVELS:
            if level is not None or debug_parts:
                raise parser.error(f'duplicate log level "{word}"')
            level = _LEVELS[word]
        elif word in _DEBUG_PARTS and level is None:
            debug_parts = True
        else:
            raise parser.error(f'invalid log level "{word}"')
    return Level.DEBUG if debug_parts else level or Level.ERROR


ERROR_LOGS: Final = Value(repeated(lambda parser: (_target(parser),)))
"""Log targets, one for each directive."""
