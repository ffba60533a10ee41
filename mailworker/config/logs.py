"""`error_log TARGET [LEVEL]` (ngx_log_set_log, ngx_syslog_process_conf)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailworker.config.addresses import BadAddress, parse_url
from mailworker.config.rows import Value
from mailworker.config.slots import repeated
from mailworker.config.tree import Parser
from mailworker.config.values import size
from mailworker.model import Level, UnixAddress


@dataclass(frozen=True, slots=True)
class FileLog:
    """`error_log PATH LEVEL`; `path` is absolute."""

    path: Path
    level: Level


@dataclass(frozen=True, slots=True)
class StderrLog:
    """`error_log stderr LEVEL`."""

    level: Level


@dataclass(frozen=True, slots=True)
class SyslogLog:
    """`error_log syslog:server=...,facility=...,tag=...,nohostname LEVEL`.

    `server` is (host, port) for UDP or a path for a datagram unix socket; `facility` is the RFC 5424 number.
    """

    server: tuple[str, int] | str
    facility: int
    tag: str
    nohostname: bool
    level: Level


@dataclass(frozen=True, slots=True)
class MemoryLog:
    """`error_log memory:SIZE LEVEL`: a ring of `size` bytes that a debugger can read."""

    size: int
    level: Level


LogTarget = FileLog | StderrLog | SyslogLog | MemoryLog


SYSLOG_PORT: Final = 514
LOCAL7: Final = 23
_FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
_LEVELS: Final = {level.name.lower(): level for level in Level}
_DEBUG_PARTS: Final = {f"debug_{part}" for part in ("core", "alloc", "mutex", "event", "http", "mail", "stream")}
_LONGEST_TAG: Final = 32
_TAG = re.compile(r"[0-9A-Za-z_]*")


def _target(parser: Parser) -> LogTarget:
    name = parser.words[1]
    if name in ("stderr", ""):
        return StderrLog(_level(parser))
    if name.startswith("memory:"):
        buffer = _buffer_size(parser, name.removeprefix("memory:"))
        return MemoryLog(buffer, _level(parser))
    if name.startswith("syslog:"):
        target = _Syslog(parser)
        target.read(name.removeprefix("syslog:"))
        return target.freeze(_level(parser))
    return FileLog(Path(parser.below_prefix(name)), _level(parser))


def _buffer_size(parser: Parser, text: str) -> int:
    buffer = size(text)
    # Room for the heading with which nginx marks the ring: a name, a position and two numbers.
    if buffer is None or buffer < 51 + len(parser.where or ""):
        raise parser.error(f'invalid buffer size "{text}"')
    return buffer


def _level(parser: Parser) -> Level:
    """The level; parts of the debug log may be named one by one, and stand for all of it."""
    words = parser.words[2:]
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


class _Syslog:
    """The comma-separated parameters of a syslog target."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._values: dict[str, str] = {}
        self._server: tuple[str, int] | str | None = None
        self._nohostname = False

    def read(self, text: str) -> None:
        checks = {
            "server": self._check_server,
            "facility": self._check_facility,
            "severity": self._check_severity,
            "tag": self._check_tag,
        }
        for parameter in text.split(","):
            name, equals, value = parameter.partition("=")
            check = checks.get(name)
            if parameter == "nohostname":
                self._nohostname = True
            elif not equals or check is None:
                raise self._parser.error(f'unknown syslog parameter "{parameter}"')
            elif name in self._values:
                raise self._parser.error(f'duplicate syslog "{name}"')
            else:
                check(value)
                self._values[name] = value
        if self._server is None:
            raise self._parser.error("no syslog server specified")

    def freeze(self, level: Level) -> SyslogLog:
        facility = self._values.get("facility")
        return SyslogLog(
            server=self._server or "",
            facility=LOCAL7 if facility is None else _FACILITIES.index(facility),
            tag=self._values.get("tag", "mailworker"),
            nohostname=self._nohostname,
            level=level,
        )

    def _check_server(self, value: str) -> None:
        try:
            address = parse_url(value, self._parser.resolve, default_port=SYSLOG_PORT).addresses[0]
        except BadAddress as reason:
            raise self._parser.error(f'{reason} in syslog server "{value}"') from reason
        self._server = address.path if isinstance(address, UnixAddress) else (address.host, address.port)

    def _check_facility(self, value: str) -> None:
        self._check_known("facility", value, _FACILITIES)

    def _check_severity(self, value: str) -> None:
        """Checked and then unused, as in nginx: each line is sent with its own."""
        self._check_known("severity", value, [*_LEVELS])

    def _check_known(self, name: str, value: str, known: Sequence[str]) -> None:
        if value not in known:
            raise self._parser.error(f'unknown syslog {name} "{value}"')

    def _check_tag(self, value: str) -> None:
        if len(value) > _LONGEST_TAG:
            raise self._parser.error("syslog tag length exceeds 32")
        if not _TAG.fullmatch(value):
            raise self._parser.error('syslog "tag" only allows alphanumeric characters and underscore')


ERROR_LOGS: Final = Value(repeated(lambda parser: (_target(parser),)))
"""Targets, one a directive."""
