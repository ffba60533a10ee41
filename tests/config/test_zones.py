from __future__ import annotations

import pytest

from mailworker.config.tree import Parser
from mailworker.config.zones import declare_zone
from mailworker.errors import ConfigError

MEGABYTE = 1 << 20


def test_a_name_is_one_zone(parser: Parser) -> None:
    zone = declare_zone(parser, "a", MEGABYTE, "ssl_session_cache")
    assert declare_zone(parser, "a", MEGABYTE, "ssl_session_cache") is zone


def test_a_name_is_for_one_use(parser: Parser) -> None:
    """The words are nginx's."""
    declare_zone(parser, "a", MEGABYTE, "ssl_session_cache")
    with pytest.raises(ConfigError) as caught:
        declare_zone(parser, "a", 2 * MEGABYTE, "another")
    assert caught.value.message == 'the shared memory zone "a" is already declared for a different use'
