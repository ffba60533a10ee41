from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import Load


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("daemon off", 'unexpected end of parameter, expecting ";" in command line'),
        ("events {}", "block directives are not supported in -g option in command line"),
        ("}", 'unexpected "}" in command line'),
        ("x;", 'unknown directive "x" in command line'),
    ],
)
def test_bad_text_of_the_command_line_is_refused(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("events {}", globals_=text)
    assert str(caught.value) == message


def test_directives_of_the_command_line_count_as_the_file_s_own(load_text: Load) -> None:
    assert load_text("events {}", globals_="daemon off; worker_processes 3;").core.worker_processes == 3
    with pytest.raises(ConfigError, match='"daemon" directive is duplicate'):
        load_text("events {} daemon on;", globals_="daemon off;")


def test_the_syntax_is_ok_before_the_sections_are_missed(load_text: Load) -> None:
    seen: list[str] = []
    with pytest.raises(ConfigError, match='no "events" section'):
        load_text("daemon on;", on_syntax_ok=lambda: seen.append("ok"))
    assert seen == ["ok"]
    with pytest.raises(ConfigError, match="unknown directive"):
        load_text("nosuch;", on_syntax_ok=lambda: seen.append("ok"))
    assert seen == ["ok"]
