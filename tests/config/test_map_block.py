"""The `map` block; nginx's verdicts are in tests/oracle."""

from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.blocks import servers, value
from tests.config.conftest import Load
from tests.variables.facts import Session


def test_equal_values_of_a_map_are_one(load_text: Load) -> None:
    (server,) = servers(load_text, "map a $b { c long-value; d long-value; }", "")
    one, other = server.variables.definitions["b"].table.values()  # type: ignore[attr-defined]
    assert one is other


def test_without_an_engine_a_regex_is_refused_in_nginxs_words(load_text: Load) -> None:
    with pytest.raises(ConfigError, match='using regex "a" requires PCRE library'):
        load_text("events {} mail { auth_http 127.0.0.1; map a $b { ~a c; } server { listen 143; } }")


def test_masks_are_kept_apart_from_names_only_with_hostnames(load_text: Load) -> None:
    entries = "*.a 1; b.* 2; .c 3; d 4; \\default 5;"
    plain, hosts = (
        servers(load_text, f"map $remote_user $p {{ {entries} }} map $remote_user $h {{ hostnames; {entries} }}", "")[
            0
        ],
        None,
    )
    assert hosts is None
    texts = [b"x.a", b"b.x", b"x.c", b"c", b"D", b"*.a", b"default", b"d."]
    found = [
        (value(plain, "$p", Session(remote_user=text)), value(plain, "$h", Session(remote_user=text))) for text in texts
    ]
    assert found == [
        (b"", b"1"),
        (b"", b"2"),
        (b"", b"3"),
        (b"", b"3"),
        (b"4", b"4"),
        (b"1", b"1"),
        (b"5", b"5"),
        (b"", b"4"),
    ]
