"""`access_log`; nginx's verdicts on the same words are in tests/oracle."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.access_log import On
from mailworker.config.destinations import AccessLogFile, AccessLogPattern
from mailworker.config.settings import MailServer
from mailworker.config.syslog import SyslogServer
from mailworker.errors import ConfigError
from mailworker.model import Level
from mailworker.variables.template import parse
from tests.config.blocks import servers
from tests.config.conftest import Load


def destinations(server: MailServer) -> list[object]:
    return [log.destination for log in server.access_log.logs]


@pytest.mark.parametrize(
    ("words", "destination"),
    [
        ("/a", AccessLogFile(Path("/a"))),
        ("/a combined", AccessLogFile(Path("/a"))),
        ("/a combined buffer=4k", AccessLogFile(Path("/a"), 4096)),
        ("/a combined gzip", AccessLogFile(Path("/a"), 65536, None, 1)),
        ("/a combined gzip=9 flush=1500ms", AccessLogFile(Path("/a"), 65536, 1500, 9)),
        ("/a combined buffer=1m gzip=4 flush=5m", AccessLogFile(Path("/a"), 2**20, 300_000, 4)),
        ("syslog:server=127.0.0.1", SyslogServer(("127.0.0.1", 514), 23, Level.INFO, "mailworker", False)),
        (
            "syslog:server=unix:/dev/log,facility=mail,severity=notice,tag=dovecot,nohostname dovecot",
            SyslogServer("/dev/log", 2, Level.NOTICE, "dovecot", True),
        ),
    ],
)
def test_where_lines_go(load_text: Load, words: str, destination: object) -> None:
    (server,) = servers(load_text, f"access_log {words};", "")
    assert destinations(server) == [destination]


@pytest.mark.parametrize(
    ("path", "folder", "below"),
    [
        ("/var/log/$protocol", "/var/log", b"$protocol"),
        ("/var/log/a$protocol.log", "/var/log", b"a$protocol.log"),
        ("/var/log/$protocol/b/$remote_user_domain", "/var/log", b"$protocol/b/$remote_user_domain"),
        ("/$protocol", "/", b"$protocol"),
        ("logs/$protocol", "{}/logs", b"$protocol"),
    ],
)
def test_of_a_path_with_variables_the_folder_is_literal(
    load_text: Load, tmp_path: Path, path: str, folder: str, below: bytes
) -> None:
    (server,) = servers(load_text, f"access_log {path};", "")
    where = f"{tmp_path}/mailworker.conf:2"
    assert destinations(server) == [AccessLogPattern(Path(folder.format(tmp_path)), parse(below, where))]


def test_a_path_is_looked_for_below_the_prefix(load_text: Load, tmp_path: Path) -> None:
    (server,) = servers(load_text, "access_log logs/a;", "")
    assert destinations(server) == [AccessLogFile(tmp_path / "logs/a")]


def test_a_server_with_any_has_none_of_mail_and_all_of_one_level_count(load_text: Load) -> None:
    first, second, third, fourth = servers(
        load_text,
        "access_log /a; access_log /b;",
        "",
        "access_log /c;",
        "access_log off;",
        "access_log off; access_log /d;",
    )
    assert destinations(first) == [AccessLogFile(Path("/a")), AccessLogFile(Path("/b"))]
    assert destinations(second) == [AccessLogFile(Path("/c"))]
    assert destinations(third) == destinations(fourth) == []


def test_off_outweighs_others_of_its_level(load_text: Load) -> None:
    (server,) = servers(load_text, "access_log /a; access_log off; access_log /b;", "")
    assert destinations(server) == []


@pytest.mark.parametrize(
    ("word", "on"),
    [("", On.END), ("on=end", On.END), ("on=login", On.LOGIN), ("on=failure", On.FAILURE), ("on=all", On.ALL)],
)
def test_when_a_line_is_written(load_text: Load, word: str, on: On) -> None:
    (server,) = servers(load_text, f"access_log /a combined {word};", "")
    assert server.access_log.logs[0].on is on


def test_a_condition_holds_variables(load_text: Load, tmp_path: Path) -> None:
    (server,) = servers(load_text, "map $protocol $loud { imap 1; } access_log /a combined if=$loud;", "")
    assert server.access_log.logs[0].condition == parse(b"$loud", f"{tmp_path}/mailworker.conf:2")


def test_a_file_has_one_buffer_whichever_log_says_so(load_text: Load) -> None:
    mail = "access_log /a; access_log /a combined buffer=4k; access_log /a json buffer=4k;"
    (server,) = servers(load_text, mail, "")
    assert destinations(server) == 3 * [AccessLogFile(Path("/a"), 4096)]


def test_each_destination_stands_once_in_the_settings(load_text: Load) -> None:
    servers_ = "server { listen 143; } server { listen 110; access_log /b; access_log /a json; }"
    text = f"events {{}} mail {{ auth_http 127.0.0.1; access_log /a; {servers_} }}"
    assert load_text(text).destinations == (AccessLogFile(Path("/a")), AccessLogFile(Path("/b")))


def test_null_sessions_are_not_logged_by_default(load_text: Load) -> None:
    first, second = servers(load_text, "", "", "log_null_sessions on;")
    assert (first.access_log.null_sessions, second.access_log.null_sessions) == (False, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", 'invalid number of arguments in "access_log" directive'),
        ("off combined", 'invalid parameter "combined"'),
        ("/a nosuch", 'unknown log format "nosuch"'),
        ("/a buffer=4k", 'unknown log format "buffer=4k"'),
        ("/a combined buffer=0", 'invalid buffer size "0"'),
        ("/a combined buffer=x", 'invalid buffer size "x"'),
        ("/a combined buffer=4k flush=0", 'invalid flush time "0"'),
        ("/a combined buffer=4k flush=x", 'invalid flush time "x"'),
        ("/a combined flush=1s", 'no buffer is defined for access_log "/a"'),
        ("/a combined gzip=0", 'invalid compression level "0"'),
        ("/a combined gzip=10", 'invalid compression level "10"'),
        ("/a combined gzip=", 'invalid compression level ""'),
        ("/a combined gzipped", 'invalid parameter "gzipped"'),
        ("/a combined nosuch=1", 'invalid parameter "nosuch=1"'),
        ("/a combined on=x", 'invalid parameter "on=x"'),
        ("/a combined on=", 'invalid parameter "on="'),
        ("/a/$pid combined buffer=4k", "buffered logs cannot have variables in name"),
        ("syslog:server=127.0.0.1 combined gzip", "logs to syslog cannot be buffered"),
        ("syslog:tag=a", "no syslog server specified"),
        (
            "/a combined buffer=4k; access_log /a combined buffer=8k",
            'access_log "/a" already defined with conflicting parameters',
        ),
        (
            "/a combined buffer=64k; access_log /a combined gzip",
            'access_log "/a" already defined with conflicting parameters',
        ),
        ("/a combined if=$nosuch", 'unknown "nosuch" variable'),
        ("/a/$nosuch", 'unknown "nosuch" variable'),
        ("/a/$pid/.b", 'invalid path "/a/$pid/.b" with variables'),
        ("/a/.$pid", 'invalid path "/a/.$pid" with variables'),
        ("/a/$pid/", 'invalid path "/a/$pid/" with variables'),
        ("/a/$pid/../b", 'invalid path "/a/$pid/../b" with variables'),
    ],
)
def test_what_is_wrong_is_told_in_nginx_s_words_with_its_line(
    load_text: Load, tmp_path: Path, words: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        servers(load_text, f"\naccess_log {words};", "")
    assert str(error.value) == f"{message} in {tmp_path}/mailworker.conf:3"


@pytest.mark.parametrize(("path", "warned"), [("/a", True), ("/dev/stdout", False)])
def test_a_file_that_has_both_logs_is_warned_of_unless_it_is_a_device(
    load_text: Load, tmp_path: Path, path: str, *, warned: bool
) -> None:
    mail = f"mail {{ auth_http 127.0.0.1;\naccess_log {path};\naccess_log /b; server {{ listen 143; }} }}"
    warnings = [warning for _, warning in load_text(f"events {{}}\n{mail}\nerror_log {path};").warnings]
    warning = f'"access_log" and "error_log" mix their lines in "{path}" in {tmp_path}/mailworker.conf:3'
    assert warnings == [warning] * warned
