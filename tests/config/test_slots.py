from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import Load, LoadServer


@pytest.mark.parametrize(
    ("directives", "message"),
    [
        ("proxy_timeout 1s; proxy_timeout 1s;", '"proxy_timeout" directive is duplicate'),
        ("proxy_timeout 1s 2s;", 'invalid number of arguments in "proxy_timeout" directive'),
        ("proxy_timeout 1x;", '"proxy_timeout" directive invalid value'),
        ("xclient 1;", 'invalid value "1" in "xclient" directive, it must be "on" or "off"'),
        ("max_errors many;", '"max_errors" directive invalid number'),
        ("proxy_buffer 1x;", '"proxy_buffer" directive invalid value'),
        ("proxy_protocol v3;", 'invalid value "v3"'),
        ("imap_auth plain apop;", 'invalid value "apop"'),
    ],
)
def test_a_word_of_another_kind_is_refused_in_nginx_s_words(
    load_server: LoadServer, directives: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(directives)
    assert caught.value.message == message


def test_a_number_out_of_its_bounds_is_told_them(load_text: Load) -> None:
    with pytest.raises(ConfigError, match=r"^value must be between \d+ and \d+ in "):
        load_text("session_table 2147483647; events {} mail {}")


def test_words_of_a_table_may_be_written_in_any_case_and_once_only(load_text: Load) -> None:
    settings = load_text("events {} mail { imap_auth PLAIN; imap_auth plain login; }")
    ((_, warning),) = settings.warnings
    assert warning.startswith('duplicate value "plain" in ')
