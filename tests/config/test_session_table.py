from __future__ import annotations

import pytest

from mailworker.config.session_table import MOST
from mailworker.errors import ConfigError
from tests.config.conftest import Load


def rows(load_text: Load, main: str, *, connections: int = 512) -> int:
    text = f"""
        {main}
        events {{ worker_connections {connections}; }}
        mail {{ auth_http 127.0.0.1; server {{ listen 127.0.0.1:143; }} }}
    """
    return load_text(text).session_rows


@pytest.mark.parametrize(
    ("main", "found"),
    [
        ("", 0),
        ("session_table off;", 0),
        ("session_table 0;", 0),
        ("session_table 1;", 1),
        (f"session_table {MOST};", MOST),
        ("session_table 100; master_process off;", 0),
    ],
)
def test_rows_of_a_worker(load_text: Load, main: str, found: int) -> None:
    assert rows(load_text, main) == found


@pytest.mark.parametrize("word", ["on", "-1", "1k", "many"])
def test_what_is_no_number_is_refused(load_text: Load, word: str) -> None:
    with pytest.raises(ConfigError, match=f'invalid number of sessions "{word}" in '):
        rows(load_text, f"session_table {word};")


def test_there_is_a_most(load_text: Load) -> None:
    with pytest.raises(ConfigError, match=f"must be between 0 and {MOST}"):
        rows(load_text, f"session_table {MOST + 1};")


def test_it_stands_once(load_text: Load) -> None:
    with pytest.raises(ConfigError, match='"session_table" directive is duplicate'):
        rows(load_text, "session_table 1; session_table 2;")
