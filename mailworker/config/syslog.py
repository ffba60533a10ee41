"""The parameters of `syslog:` in a log's name (ngx_syslog_process_conf)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from mailworker.config.addresses import BadAddress, parse_url
from mailworker.config.tree import Parser
from mailworker.model import Level, UnixAddress

V = TypeVar("V")

SYSLOG_PORT: Final = 514
LOCAL7: Final = 23
_FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
_LONGEST_TAG: Final = 32
_TAG = re.compile(r"[0-9A-Za-z_]*")


class SyslogServer(NamedTuple):
    """`server` is (host, port) for UDP or a path for a datagram unix socket; `facility` is the RFC 5424 number.

    Lines of access logs are sent with `severity`; as in nginx, lines of error logs have their own.
    """

    server: tuple[str, int] | str
    facility: int = LOCAL7
    severity: Level = Level.INFO
    tag: str = "mailworker"
    nohostname: bool = False


def read_syslog(parser: Parser, text: str) -> SyslogServer:
    """Read the comma-separated parameters. Raises ConfigError."""
    found: dict[str, Any] = {}
    for parameter in text.split(","):
        name, equals, value = parameter.partition("=")
        if parameter == "nohostname":
            found[parameter] = True
        elif not equals or name not in _PARAMETERS:
            raise parser.error(f'unknown syslog parameter "{parameter}"')
        elif name in found:
            raise parser.error(f'duplicate syslog "{name}"')
        else:
            found[name] = _PARAMETERS[name](parser, value)
    if "server" not in found:
        raise parser.error("no syslog server specified")
    return SyslogServer(**found)


def _read_server(parser: Parser, value: str) -> tuple[str, int] | str:
    try:
        address = parse_url(value, parser.resolve, default_port=SYSLOG_PORT).addresses[0]
    except BadAddress as reason:
        raise parser.error(f'{reason} in syslog server "{value}"') from reason
    return address.path if isinstance(address, UnixAddress) else (address.host, address.port)


def _read_tag(parser: Parser, value: str) -> str:
    if len(value) > _LONGEST_TAG:
        raise parser.error("syslog tag length exceeds 32")
    if not _TAG.fullmatch(value):
        raise parser.error('syslog "tag" only allows alphanumeric characters and underscore')
    return value


def _one_of(noun: str, known: Mapping[str, V]) -> Callable[[Parser, str], V]:
    def read(parser: Parser, value: str) -> V:
        if value not in known:
            raise parser.error(f'unknown syslog {noun} "{value}"')
        return known[value]

    return read


_PARAMETERS: Final[Mapping[str, Callable[[Parser, str], object]]] = {
    "server": _read_server,
    "facility": _one_of("facility", {name: number for number, name in enumerate(_FACILITIES)}),
    "severity": _one_of("severity", {level.name.lower(): level for level in Level}),
    "tag": _read_tag,
}
