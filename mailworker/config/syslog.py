"""The parameters of `syslog:` in a log's name (ngx_syslog_process_conf)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from mailworker.config.addresses import BadAddress, parse_url
from mailworker.config.tree import Parser
from mailworker.model import Level, UnixAddress

SYSLOG_PORT: Final = 514
LOCAL7: Final = 23
_FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
_SEVERITIES: Final = {level.name.lower(): level for level in Level}
_LONGEST_TAG: Final = 32
_TAG = re.compile(r"[0-9A-Za-z_]*")


class SyslogServer(NamedTuple):
    """`server` is (host, port) for UDP or a path for a datagram unix socket; `facility` is the RFC 5424 number.

    Lines of access logs are sent with `severity`; as in nginx, lines of error logs have their own.
    """

    server: tuple[str, int] | str
    facility: int
    severity: Level
    tag: str
    nohostname: bool


def read_syslog(parser: Parser, text: str) -> SyslogServer:
    """Read the comma-separated parameters. Raises ConfigError."""
    parameters = _Parameters(parser)
    parameters.read(text)
    return parameters.freeze()


class _Parameters:
    """The parameters read so far."""

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

    def freeze(self) -> SyslogServer:
        facility, severity = self._values.get("facility"), self._values.get("severity")
        return SyslogServer(
            server=self._server or "",
            facility=LOCAL7 if facility is None else _FACILITIES.index(facility),
            severity=Level.INFO if severity is None else _SEVERITIES[severity],
            tag=self._values.get("tag", "mailworker"),
            nohostname=self._nohostname,
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
        self._check_known("severity", value, [*_SEVERITIES])

    def _check_known(self, name: str, value: str, known: Sequence[str]) -> None:
        if value not in known:
            raise self._parser.error(f'unknown syslog {name} "{value}"')

    def _check_tag(self, value: str) -> None:
        if len(value) > _LONGEST_TAG:
            raise self._parser.error("syslog tag length exceeds 32")
        if not _TAG.fullmatch(value):
            raise self._parser.error('syslog "tag" only allows alphanumeric characters and underscore')
