"""Names of a server, and what they stand for."""

from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from mailworker.variables import escapes
from mailworker.variables.map import Map
from mailworker.variables.template import Template, parse
from mailworker.variables.variables import Definition, Variables
from tests.variables.facts import Session
from tests.variables.hosts import hosts

STORE = Map(parse(b"$remote_user"), b"old", table=hosts({"a": b"new"}))


def variables(*sets: tuple[str, bytes], **definitions: Definition) -> Variables:
    return Variables(definitions, tuple((name, parse(text)) for name, text in sets))


def rendered(names: Variables, text: bytes, session: Session | None = None) -> bytes:
    return names.bind(parse(text))(session or Session())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"", b""),
        (b"100% $$"[:5], b"100% "),
        (b"$protocol", b"imap"),
        (b"$remote_addr:$remote_port 5% ${protocol}", b"198.51.100.7:50123 5% imap"),
        (b"<$remote_user>", b"<>"),
    ],
)
def test_a_text_holds_what_a_session_knows(text: bytes, value: bytes) -> None:
    assert rendered(variables(), text) == value


def test_values_are_escaped_and_literals_are_not() -> None:
    render = variables().bind(parse(b'"$remote_user" $ssl_cipher'), escapes.DEFAULT)
    assert render(Session(remote_user=b'a"b')) == b'"a\\x22b" -'


def test_a_value_is_that_of_the_moment() -> None:
    names, session = variables(store=STORE), Session(remote_user=b"a")
    render = names.bind(parse(b"$store"))
    assert render(session) == b"new"
    session.remote_user = b"b"
    assert render(session) == b"old"


def test_set_sees_what_was_set_before_and_a_map_what_is_set_last() -> None:
    double = Map(parse(b"$x$x"), b"other", table=hosts({"22": b"two"}))
    names = variables(("x", b"1"), ("y", b"$x$x"), ("x", b"2"), ("z", b"$y$x$double"), double=double)
    assert rendered(names, b"$x $y $z") == b"2 11 112two"


def test_an_unknown_name_is_refused_where_it_stands() -> None:
    with pytest.raises(ConfigError) as error:
        variables().bind(parse(b"$nosuch", "a.conf:3"))
    assert str(error.value) == 'unknown "nosuch" variable in a.conf:3'
    with pytest.raises(ConfigError, match='unknown "y" variable'):
        variables(("x", b"$y"), ("y", b"1")).find("x")


def test_a_variable_made_of_itself_is_refused() -> None:
    names = variables(a=Map(parse(b"$b")), b=Map(parse(b"x"), parse(b"$a")))
    with pytest.raises(ConfigError, match='cycle while evaluating variable "a"'):
        names.find("a")


def test_a_variable_set_from_itself_takes_its_former_value() -> None:
    assert rendered(variables(("x", b"1"), ("x", b"$x$x")), b"$x") == b"11"
    with pytest.raises(ConfigError, match='unknown "x" variable'):
        variables(("x", b"$x")).find("x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"192.0.2.1:143", None),
        (b"$store", None),
        (b"$copy:143", None),
        (b"$remote_user", "remote_user"),
        (b"$server_port", "server_port"),
        (b"$mirror", "mirror"),
        (b"$store$taken", "taken"),
        (b"$hidden", "hidden"),
    ],
)
def test_what_clients_say_is_told_from_what_the_configuration_says(text: bytes, said: str | None) -> None:
    mirror = Map(parse(b"x"), table=hosts({"k": parse(b"$remote_user")}))
    hidden = Map(parse(b"x"), parse(b"$mirror"))
    taken = Map(parse(b"$auth_user"), table=hosts({"x.*": parse(b"$1")}))
    names = variables(("copy", b"$store"), store=STORE, mirror=mirror, hidden=hidden, taken=taken)
    assert names.chosen_by_client(parse(text)) == said


def test_all_that_a_variable_may_come_to_is_known() -> None:
    far = Map(parse(b"$remote_user"), parse(b"$store"), table=hosts({"x": b"y"}))
    names = variables(("copy", b"$far"), ("one", b"1"), store=STORE, far=far)
    assert names.possible("copy") == {b"y", b"old", b"new"}
    assert names.possible("one") == {b"1"}


def test_templates_compare_by_position_too() -> None:
    assert parse(b"a", "x") != Template((b"a",))
