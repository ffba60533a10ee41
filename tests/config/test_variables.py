"""`map`, `geo`, `split_clients`, `set`, and what takes variables; nginx's verdicts on these are in tests/oracle."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.errors import ConfigError
from mailworker.variables.template import parse
from tests.config.blocks import servers, value
from tests.config.conftest import Load, source_of
from tests.support.cpu_time import CpuTime
from tests.variables.facts import Session

NAMES = 100_000


def test_a_server_has_the_variables_of_mail_and_its_own(load_text: Load) -> None:
    mail = "map $kind$protocol $answer { default no; aimap yes; }"
    first, second = servers(load_text, mail, "set $kind a;", "set $kind b; set $kind $kind$kind;")
    assert (value(first, "$answer $kind"), value(second, "$answer $kind")) == (b"yes a", b"no bb")
    assert first.variables.definitions is second.variables.definitions


def test_of_two_blocks_for_one_variable_the_last_counts(load_text: Load) -> None:
    (server,) = servers(load_text, "map a $b { a 1; } split_clients a $b { * 2; }", "")
    assert value(server, "$B") == b"2"


@pytest.mark.parametrize(
    ("mail", "server", "message"),
    [
        ("map $nosuch $b { a c; }", "", 'unknown "nosuch" variable in {}:2'),
        ("map a $b {\n a $nosuch;\n}", "", 'unknown "nosuch" variable in {}:3'),
        ("map a $b { ~(x) $1; }\nmap a $c { d $1; }", "", 'unknown "1" variable in {}:3'),
        ("geo $nosuch $b { }", "", 'unknown "nosuch" variable in {}:2'),
        ("map $b $b { }", "", 'cycle while evaluating variable "b" in {}:2'),
        ("map $b $c { }\nmap $c $b { }", "", 'cycle while evaluating variable "c" in {}:3'),
        ("", "set $a $nosuch;", 'unknown "nosuch" variable in {}:3'),
        ("", "set $a $nosuch; set $a b;", 'unknown "nosuch" variable in {}:3'),
        ("map $nosuch $a { }", "set $a b;", 'unknown "nosuch" variable in {}:2'),
        ("", "set $remote_user a;", 'the duplicate "remote_user" variable in {}:3'),
        ("set $a b;", "", '"set" directive is not allowed here in {}:2'),
        ("", "map a $b { }", '"map" directive is not allowed here in {}:3'),
    ],
)
def test_names_that_stand_for_nothing_are_refused_where_they_are(
    load_text: Load, tmp_path: Path, mail: str, server: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        servers(load_text, mail, server)
    assert str(error.value) == message.format(tmp_path / "mailworker.conf")


def test_headers_hold_variables_and_what_is_none_stays_with_one_warning(load_text: Load, tmp_path: Path) -> None:
    mail = 'auth_http_header A "$remote_port";\nauth_http_header B "pa$$word $5 ${";\nauth_http_header C plain;'
    text = f"events {{}} mail {{ auth_http 127.0.0.1; {mail} server {{ listen 143; }} server {{ listen 110; }} }}"
    settings = load_text(text)
    assert [source_of(server).headers for server in settings.servers] == 2 * [
        ((b"A", parse(b"$remote_port", f"{tmp_path}/mailworker.conf:1")), (b"B", b"pa$$word $5 ${"), (b"C", b"plain"))
    ]
    assert [message for _, message in settings.warnings] == [
        f'unknown "{name}" variable is sent as it stands, in "auth_http_header" in {tmp_path}/mailworker.conf:2'
        for name in ("word", "5")
    ]


def test_a_map_of_many_names_is_read_and_looked_up_in_time(load_text: Load, tmp_path: Path) -> None:
    lines = (f"user{number}@example.org 192.0.2.{number % 250}:143;\n" for number in range(NAMES))
    (tmp_path / "names.map").write_text("".join(lines))
    with CpuTime() as took:
        (server,) = servers(load_text, "map $remote_user $store { include names.map; }\nproxy_pass $store;", "")
    assert took.seconds < 2
    find, session = server.variables.bind().find("store"), Session(remote_user=b"USER77777@example.org")
    assert find(session) == b"192.0.2.27:143"
    with CpuTime() as took:
        for _ in range(NAMES):
            find(session)
    assert took.seconds / NAMES < 2e-6
