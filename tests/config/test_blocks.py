from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import Load


@pytest.mark.parametrize("block", ["http", "stream"])
def test_http_and_stream_are_left_to_nginx(load_text: Load, block: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_text(f"events {{}}\n{block} {{\n server {{ listen 80; }}\n}}\nmail {{}}")
    message = str(error.value)
    assert message.startswith(f'"{block}" is not served here in ')
    assert "\n" not in message
    assert '/mailworker.conf:2, only "mail" is: leave this block in a file for nginx, ' in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events {} http;", 'directive "http" has no opening "{"'),
        ("events {} mail { stream {} }", '"stream" directive is not allowed here'),
        ("events {} rtmp {}", 'unknown directive "rtmp"'),
    ],
)
def test_what_nginx_says_of_a_misplaced_block_is_said_first(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        load_text(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mail {} mail {}", '"mail" directive is duplicate'),
        ("events {} mail { server { } }", 'no "listen" is defined for server'),
        ("events {} server { listen 143; }", '"server" directive is not allowed here'),
    ],
)
def test_blocks_stand_once_where_they_belong_and_have_what_they_need(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        load_text(text)
