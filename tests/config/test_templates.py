"""Words that hold $names; what a text is made of is tested in tests/variables."""

from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.blocks import servers, value
from tests.config.conftest import Load
from tests.variables.facts import Session


def test_a_word_holds_names_in_any_case(load_text: Load) -> None:
    (server,) = servers(load_text, 'map a $B { default "é $Protocol"; }', "")
    assert value(server, "${b}", Session()) == "é imap".encode()


@pytest.mark.parametrize("word", ["remote_addr", "auth_http_x", "$remote_addr", "all", "remote_addr2", "1$remote_addr"])
@pytest.mark.parametrize(
    "block",
    [
        "map %s $b { }",
        "split_clients %s $b { }",
        "limit_conn_zone %s zone=a:1m;",
        "limit_auth_zone %s zone=a:1m rate=1r/s;",
    ],
)
def test_a_variable_without_its_dollar_is_warned_of(load_text: Load, block: str, word: str) -> None:
    warned = word in ("remote_addr", "auth_http_x")
    settings = load_text(f"events {{ }} mail {{ auth_http 127.0.0.1; {block % word} server {{ listen 143; }} }}")
    texts = [text.rpartition(" in ")[0] for _, text in settings.warnings]
    assert texts == ([f'"{word}" is the same text for all clients, did you mean "${word}"?'] if warned else [])


@pytest.mark.parametrize("word", ["b", "$"])
def test_a_variable_that_is_made_has_a_name(load_text: Load, word: str) -> None:
    with pytest.raises(ConfigError) as error:
        servers(load_text, f"map a {word} {{ }}", "")
    assert error.value.message == f'invalid variable name "{word}"'
