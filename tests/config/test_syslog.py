from __future__ import annotations

import pytest

from mailworker.config.syslog import SyslogServer, read_syslog
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError
from mailworker.model import Level


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("server=127.0.0.1", SyslogServer(("127.0.0.1", 514), 23, Level.INFO, "mailworker", nohostname=False)),
        (
            "server=unix:/dev/log,facility=mail,severity=warn,tag=dovecot,nohostname",
            SyslogServer("/dev/log", 2, Level.WARN, "dovecot", nohostname=True),
        ),
    ],
)
def test_what_is_not_said_has_nginx_s_defaults(parser: Parser, text: str, server: SyslogServer) -> None:
    assert read_syslog(parser, text) == server


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server=127.0.0.1,server=127.0.0.1", 'duplicate syslog "server"'),
        ("server=127.0.0.1,tag=a,tag=b", 'duplicate syslog "tag"'),
        ("server=127.0.0.1,severity=loud", 'unknown syslog severity "loud"'),
        ("server=127.0.0.1,tag=" + "a" * 33, "syslog tag length exceeds 32"),
        ("", 'unknown syslog parameter ""'),
        ("server", 'unknown syslog parameter "server"'),
        ("server=127.0.0.1,color=red", 'unknown syslog parameter "color=red"'),
        ("nohostname", "no syslog server specified"),
    ],
)
def test_what_is_wrong_is_told_in_nginx_s_words(parser: Parser, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_syslog(parser, text)
    assert error.value.message == message
