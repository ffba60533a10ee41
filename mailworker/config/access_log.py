"""`access_log` and `log_null_sessions`, by the grammar of nginx's http module (ngx_http_log_set_log).

Unlike there, `on=` selects the events that are logged, and a `log_format` may replace a built-in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from pathlib import Path
from typing import Any, Final

from mailworker.config.command import ONE, ONE_OR_MORE, Command
from mailworker.config.destinations import AccessLogFile, AccessLogPattern, Destination
from mailworker.config.drafts import BOTH, Context, Scope
from mailworker.config.log_format import LogFormat, LogFormatsDraft, SpecialFormat, TextFormat, find_format
from mailworker.config.rows import commands, merged, row
from mailworker.config.slots import FLAG
from mailworker.config.syslog import SyslogServer, read_syslog
from mailworker.config.templates import read_template
from mailworker.config.tree import Parser
from mailworker.config.values import milliseconds, number, size
from mailworker.config.variables import VariablesSettings
from mailworker.variables.template import Template


class On(Flag):
    """The events that are logged: a successful login, a refused one, the end of a session."""

    LOGIN = auto()
    FAILURE = auto()
    END = auto()

    ALL = LOGIN | FAILURE | END


@dataclass(frozen=True, slots=True)
class AccessLog:
    """One of a server's logs. No line is written if the value of `condition` is empty or "0"."""

    destination: Destination
    format: LogFormat
    condition: Template | None = None
    on: On = On.END


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """The logs of a server. `null_sessions`: sessions without a byte from the client are logged as well.

    `used` are the names of the variables in the logs.
    """

    logs: tuple[AccessLog, ...] = ()
    null_sessions: bool = False
    used: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Log:
    """A log as the configuration names it. A later directive may set the parameters of the same file."""

    destination: Destination
    format: str
    condition: Template | None
    on: On


@dataclass(slots=True)
class LogsDraft:
    """The logs of a block with `access_log` directives; `off` overrides them."""

    logs: list[_Log] = field(default_factory=list)
    off: bool = False


@dataclass(slots=True)
class FilesDraft:
    """In the `mail` block, the parameters of each file, and the position of the directive that names it."""

    files: dict[Path, AccessLogFile] = field(default_factory=dict)
    where: dict[Path, str | None] = field(default_factory=dict)


@dataclass(slots=True)
class NullSessionsDraft:
    """Whether sessions in which the client has not sent a byte are logged."""

    log_null_sessions: bool = row(BOTH, ONE, FLAG, False, into=None)


def freeze(server: Scope, mail: Scope, names: VariablesSettings) -> AccessLogSettings:
    """The logs of a server. Raises ConfigError for variables that are not in `names`, also in unused formats."""
    found = next((scope.draft(LogsDraft) for scope in (server, mail) if scope.has(LogsDraft)), LogsDraft())
    null_sessions = merged(NullSessionsDraft, server, mail).log_null_sessions
    for format_ in mail.draft(LogFormatsDraft).formats.values():
        names.bind().check(format_.template)
    logs = tuple(_freeze(log, mail) for log in found.logs)
    used = names.bind().used_by(*(template for log in logs for template in _templates(log)))
    if any(log.format is SpecialFormat.JSON for log in logs):
        used |= {"tls_handshake_time"}
    return AccessLogSettings(() if found.off else logs, null_sessions, used)


WAITED_FOR: Final = ("upstream_connect_time", "upstream_first_byte_time")
"""Variables that a session measures only if a log has them."""


def _templates(log: AccessLog) -> Iterable[Template]:
    if isinstance(log.format, TextFormat):
        yield log.format.template
    if log.condition is not None:
        yield log.condition
    if isinstance(log.destination, AccessLogPattern):
        yield log.destination.below


def _freeze(log: _Log, mail: Scope) -> AccessLog:
    format_ = find_format(mail, log.format)
    assert format_ is not None
    destination = log.destination
    if isinstance(destination, AccessLogFile):
        destination = mail.draft(FilesDraft).files[destination.path]
    return AccessLog(destination, format_, log.condition, log.on)


def _set(parser: Parser) -> None:
    _, name, *words = parser.words
    logs = parser.scope.draft(LogsDraft)
    if name == "off":
        logs.off = True
        if words:
            raise parser.error(f'invalid parameter "{words[0]}"')
        return
    mail = parser.scope if parser.scope.context is Context.MAIL else parser.scope.parent
    assert mail is not None
    destination = _destination(parser, name)
    format_ = words[0] if words else "combined"
    if find_format(mail, format_) is None:
        raise parser.error(f'unknown log format "{format_}"')
    found = _read_parameters(parser, words[1:])
    files = mail.draft(FilesDraft)
    _note_buffer(parser, destination, files.files, found)
    logs.logs.append(_Log(destination, format_, found.get("if"), found.get("on", On.END)))
    if isinstance(destination, AccessLogFile):
        files.where.setdefault(destination.path, parser.where)


def _destination(parser: Parser, name: str) -> Destination:
    if name.startswith("syslog:"):
        return read_syslog(parser, name.removeprefix("syslog:"))
    path = parser.below_prefix(name)
    if "$" not in name:
        return AccessLogFile(Path(path))
    return _pattern(parser, path)


def _pattern(parser: Parser, path: str) -> AccessLogPattern:
    """A path with variables: the folder is the part before the first name that contains one."""
    literal = path[: path.index("$")]
    folder = literal.rpartition("/")[0]
    below = read_template(parser, path[len(folder) + 1 :])
    names = b"".join(part if isinstance(part, bytes) else b"$" for part in below.parts).split(b"/")
    if not all(names) or any(name.startswith(b".") for name in names):
        raise parser.error(f'invalid path "{path}" with variables')
    return AccessLogPattern(Path(folder or "/"), below)


def _read_parameters(parser: Parser, words: Iterable[str]) -> dict[str, Any]:
    """The values of the parameters by their names. Raises ConfigError."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = ("gzip", "=", "1") if word == "gzip" else word.partition("=")
        if not equals or name not in _PARAMETERS:
            raise parser.error(f'invalid parameter "{word}"')
        found[name] = _PARAMETERS[name](parser, value)
    if "gzip" in found:
        found.setdefault("buffer", _GZIP_BUFFER)
    return found


def _note_buffer(
    parser: Parser, destination: Destination, files: dict[Path, AccessLogFile], found: dict[str, Any]
) -> None:
    """Note the buffer parameters of a file in `files`; all logs of the file have the same. Raises ConfigError."""
    name = parser.words[1]
    buffer = found.get("buffer", 0)
    if "flush" in found and not buffer:
        raise parser.error(f'no buffer is defined for access_log "{name}"')
    if not isinstance(destination, AccessLogFile):
        if buffer:
            raise parser.error(_UNBUFFERED[type(destination)])
        return
    earlier = files.setdefault(destination.path, destination)
    if buffer:
        files[destination.path] = file = AccessLogFile(destination.path, buffer, found.get("flush"), found.get("gzip"))
        if earlier.buffer and file != earlier:
            raise parser.error(f'access_log "{name}" already defined with conflicting parameters')


def _positive(parser: Parser, value: int | None, noun: str, word: str) -> int:
    if not value:
        raise parser.error(f'invalid {noun} "{word}"')
    return value


def _read_flush(parser: Parser, value: str) -> int:
    seconds = milliseconds(value)
    return _positive(parser, None if seconds is None else round(seconds * 1000), "flush time", value)


def _read_gzip(parser: Parser, value: str) -> int:
    level = number(value)
    if level is None or not _LEAST_LEVEL <= level <= _BEST_LEVEL:
        raise parser.error(f'invalid compression level "{value}"')
    return level


def _read_on(parser: Parser, value: str) -> On:
    if value not in _ON:
        raise parser.error(f'invalid parameter "on={value}"')
    return _ON[value]


_LEAST_LEVEL, _BEST_LEVEL = 1, 9
_GZIP_BUFFER: Final = 64 * 1024

_ON: Final = {"login": On.LOGIN, "failure": On.FAILURE, "end": On.END, "all": On.ALL}

_UNBUFFERED: Final[dict[type[object], str]] = {
    AccessLogPattern: "buffered logs cannot have variables in name",
    SyslogServer: "logs to syslog cannot be buffered",
}

_PARAMETERS: Final[Mapping[str, Callable[[Parser, str], object]]] = {
    "buffer": lambda parser, value: _positive(parser, size(value), "buffer size", value),
    "flush": _read_flush,
    "gzip": _read_gzip,
    "if": read_template,
    "on": _read_on,
}

COMMANDS: Final = (
    Command("access_log", BOTH, ONE_OR_MORE, _set, default="off"),
    *commands(NullSessionsDraft),
)
