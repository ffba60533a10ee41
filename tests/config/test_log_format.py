from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.log_format import COMBINED, SpecialFormat, TextFormat
from mailworker.config.settings import MailServer
from mailworker.errors import ConfigError
from mailworker.variables.escapes import DEFAULT, JSON, NONE
from mailworker.variables.template import Name, parse
from tests.config.blocks import servers
from tests.config.conftest import Load


def format_of(server: MailServer, index: int = 0) -> object:
    return server.access_log.logs[index].format


def test_strings_are_joined_without_a_space(load_text: Load, tmp_path: Path) -> None:
    (server,) = servers(load_text, "log_format a escape=json <$pid '${protocol}x' y>;", "access_log /a a;")
    assert format_of(server) == TextFormat(parse(b"<$pid${protocol}xy>", f"{tmp_path}/mailworker.conf:2"), JSON)


@pytest.mark.parametrize(("word", "escape"), [("default", DEFAULT), ("json", JSON), ("none", NONE)])
def test_the_three_escapes(load_text: Load, word: str, escape: object) -> None:
    (server,) = servers(load_text, f"log_format a escape={word} x;", "access_log /a a;")
    found = format_of(server)
    assert isinstance(found, TextFormat)
    assert found.escape is escape


def test_a_name_may_begin_with_a_digit_unlike_in_other_texts(load_text: Load) -> None:
    with pytest.raises(ConfigError, match='unknown "1a" variable'):
        servers(load_text, "log_format a $1a;", "")


def test_three_formats_are_there_and_one_of_the_same_name_takes_the_place_of_each(load_text: Load) -> None:
    (server,) = servers(load_text, "", "access_log /a; access_log /b JSON; access_log /c dovecot;")
    assert [format_of(server, index) for index in range(3)] == [COMBINED, SpecialFormat.JSON, SpecialFormat.DOVECOT]
    own = "log_format combined own; log_format json own; log_format dovecot own;"
    for mail in (f"access_log /a; access_log /b json; access_log /c dovecot; {own}", own):
        (server,) = servers(load_text, mail, "" if "access" in mail else "access_log /a; access_log /b Json;")
        assert {format_of(server, index).template.constant for index in range(2)} == {b"own"}  # type: ignore[attr-defined]


def test_names_are_compared_with_case_where_formats_are_made_and_without_where_they_are_used(load_text: Load) -> None:
    (server,) = servers(load_text, "log_format main a; log_format MAIN b;", "access_log /a MaIn;")
    found = format_of(server)
    assert isinstance(found, TextFormat)
    assert found.template.constant == b"a"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a", 'invalid number of arguments in "log_format" directive'),
        ("a b; log_format a c", 'duplicate "log_format" name "a"'),
        ("a escape=xml b", 'unknown log format escaping "xml"'),
        ("a 'x ${pid y'", 'the closing bracket in "pid" variable is missing'),
        ("a 'x ${pid-}'", 'the closing bracket in "pid" variable is missing'),
        ("a 'x ${-}'", 'the closing bracket in "" variable is missing'),
        ("a 'x $ y'", 'invalid parameter "$ y"'),
        ("a 'x $'", 'invalid parameter "$"'),
        ("a 'x ${'", 'invalid parameter "${"'),
        ("a 'x ${} y'", 'invalid parameter "${} y"'),
        ("a 'x $nosuch y'", 'unknown "nosuch" variable'),
    ],
)
def test_what_is_wrong_is_told_in_nginx_s_words_with_its_line(
    load_text: Load, tmp_path: Path, words: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        servers(load_text, f"\nlog_format {words};", "")
    assert str(error.value) == f"{message} in {tmp_path}/mailworker.conf:3"


def test_a_format_stands_in_mail_alone(load_text: Load) -> None:
    with pytest.raises(ConfigError, match='"log_format" directive is not allowed here'):
        servers(load_text, "", "log_format a b;")


def test_a_variable_that_one_server_sets_has_no_value_in_others(load_text: Load) -> None:
    first, second = servers(load_text, "log_format a $x; access_log /a a;", "set $x 1;", "")
    for server, value in ((first, b"1"), (second, None)):
        assert server.variables.bind().find("x")(None) == value  # type: ignore[arg-type]
    assert Name("x", b"$x") in format_of(first).template.parts  # type: ignore[attr-defined]
