"""The access logs of a server, with the variables of their formats bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mailworker.config.access_log import AccessLog, AccessLogSettings, On
from mailworker.config.destinations import AccessLogPattern, Destination
from mailworker.config.log_format import LogFormat, SpecialFormat, TextFormat
from mailworker.config.syslog import SyslogServer
from mailworker.log.access import LineSink
from mailworker.log.dovecot_line import dovecot_line
from mailworker.log.json_line import json_line
from mailworker.native.core.line import Line
from mailworker.variables.facts import Facts, Render
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables


class ReadyLog(NamedTuple):
    """One log; `condition` is None if it has none, `path` is None if the path is literal."""

    destination: int
    line: Render
    condition: Render | None
    path: Render | None


class AccessLogs:
    """The access logs of one server, by event. `places` are the indexes of the destinations in a `LineSink`.

    `null_sessions`: sessions without a byte from the client are logged.
    """

    __slots__ = ("at_end", "at_failure", "at_login", "null_sessions")

    def __init__(self, settings: AccessLogSettings, variables: Variables, places: Mapping[Destination, int]) -> None:
        self.null_sessions = settings.null_sessions
        ready = [(log.on, _ready(log, variables, places)) for log in settings.logs]
        self.at_login, self.at_failure, self.at_end = (
            tuple(each for on, each in ready if event in on) for event in (On.LOGIN, On.FAILURE, On.END)
        )

    def __bool__(self) -> bool:
        return bool(self.at_login or self.at_failure or self.at_end)


def write_lines(logs: tuple[ReadyLog, ...], facts: Facts, sink: LineSink) -> None:
    """Write the lines of a session to these logs. Raises ProtocolError as variables do."""
    for destination, line, condition, path in logs:
        if condition is None or condition(facts) not in _NO:
            sink.send(destination, b"" if path is None else path(facts), line(facts))


_NO = (b"", b"0")


def _ready(log: AccessLog, variables: Variables, places: Mapping[Destination, int]) -> ReadyLog:
    destination = log.destination
    return ReadyLog(
        places[destination],
        _line(log.format, variables, dated=not isinstance(destination, SyslogServer)),
        None if log.condition is None else variables.bind(log.condition),
        variables.bind(destination.below) if isinstance(destination, AccessLogPattern) else None,
    )


def _line(form: LogFormat, variables: Variables, *, dated: bool) -> Render:
    if isinstance(form, TextFormat):
        return variables.bind(Template((*form.template.parts, b"\n"), form.template.where), form.escape, Line)
    return _SPECIAL[form](dated)


_SPECIAL: Mapping[SpecialFormat, Callable[[bool], Render]] = {
    SpecialFormat.JSON: json_line,
    SpecialFormat.DOVECOT: dovecot_line,
}
