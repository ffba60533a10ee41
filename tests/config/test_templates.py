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


@pytest.mark.parametrize("word", ["b", "$"])
def test_a_variable_that_is_made_has_a_name(load_text: Load, word: str) -> None:
    with pytest.raises(ConfigError) as error:
        servers(load_text, f"map a {word} {{ }}", "")
    assert error.value.message == f'invalid variable name "{word}"'
