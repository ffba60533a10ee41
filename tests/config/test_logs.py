from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.logs import FileLog, LogTarget, MemoryLog, StderrLog, SyslogLog
from mailworker.config.syslog import SyslogServer
from mailworker.errors import ConfigError
from mailworker.model import Level
from tests.config.conftest import Load


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("stderr", StderrLog(Level.ERROR)),
        ("''", StderrLog(Level.ERROR)),
        ("stderr debug_mail debug_core", StderrLog(Level.DEBUG)),
        ("/x.log info", FileLog(Path("/x.log"), Level.INFO)),
        ("/x.log info json", FileLog(Path("/x.log"), Level.INFO, json=True)),
        ("/x.log json", FileLog(Path("/x.log"), Level.ERROR, json=True)),
        ("stderr format=json warn", StderrLog(Level.WARN, json=True)),
        ("memory:1m json", MemoryLog(2**20, Level.ERROR, json=True)),
        ("syslog:server=unix:/l json", SyslogLog(SyslogServer("/l"), Level.ERROR, json=True)),
        ("memory:1m debug", MemoryLog(2**20, Level.DEBUG)),
        ("syslog:server=127.0.0.1", SyslogLog(SyslogServer(("127.0.0.1", 514)), Level.ERROR)),
        (
            "syslog:server=[::1]:99,facility=mail,severity=info,tag=a_1,nohostname warn",
            SyslogLog(SyslogServer(("::1", 99), 2, tag="a_1", nohostname=True), Level.WARN),
        ),
        ("syslog:server=unix:/dev/log", SyslogLog(SyslogServer("/dev/log"), Level.ERROR)),
    ],
)
def test_error_log_targets(load_text: Load, words: str, target: LogTarget) -> None:
    assert load_text(f"error_log {words}; events {{}}").core.error_log[0] == target


def test_the_log_of_the_command_line_serves_where_no_file_is_named(load_text: Load) -> None:
    named = FileLog(Path("/given.log"), Level.ERROR)
    assert load_text("events {}", error_log=Path("/given.log")).core.error_log == (named,)
    assert load_text("events {}", error_log=None).core.error_log == (StderrLog(Level.ERROR),)
    assert load_text("events {} error_log /own.log;", error_log=None).core.error_log == (
        FileLog(Path("/own.log"), Level.ERROR),
    )
    beside_syslog = load_text("events {} error_log syslog:server=127.0.0.1;", error_log=Path("/given.log"))
    assert beside_syslog.core.error_log[1:] == (named,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("error_log stderr loud;", 'invalid log level "loud"'),
        ("error_log stderr info warn;", 'duplicate log level "warn"'),
        ("error_log stderr info json warn;", 'duplicate log level "warn"'),
        ("error_log stderr json format=json;", 'duplicate parameter "json"'),
        ("error_log stderr format=xml;", 'invalid log level "format=xml"'),
        ("error_log memory:1;", 'invalid buffer size "1"'),
        ("error_log syslog:tag=a;", "no syslog server specified"),
        ("error_log syslog:server=nosuch;", 'host not found in syslog server "nosuch"'),
        ("error_log syslog:tag=a-b;", 'syslog "tag" only allows alphanumeric characters and underscore'),
        ("error_log syslog:x;", 'unknown syslog parameter "x"'),
        ("error_log syslog:facility=x;", 'unknown syslog facility "x"'),
    ],
)
def test_a_target_that_cannot_be_used_is_refused(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert caught.value.message == message
