"""A `geo` block with `ranges`; nginx's verdicts are in tests/oracle."""

from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.blocks import servers, value
from tests.config.conftest import Load
from tests.variables.facts import Session


def test_a_range_within_another_leaves_what_is_around_it(load_text: Load) -> None:
    (server,) = servers(load_text, "geo $remote_user $g { ranges; 10.0.0.0-10.2.0.9 a; 10.1.0.3-10.1.0.5 b; }", "")
    texts = [b"10.0.0.0", b"10.1.0.2", b"10.1.0.3", b"10.1.0.5", b"10.1.0.6", b"10.2.0.9", b"10.2.0.10"]
    assert b"".join(value(server, "$g", Session(remote_user=text)) or b"-" for text in texts) == b"aabbaa-"


def test_ranges_that_cross_are_refused(load_text: Load) -> None:
    with pytest.raises(ConfigError, match=r'range "10.0.0.5-10.0.0.20" overlaps "10.0.0.0-10.0.0.9"'):
        servers(load_text, "geo $g { ranges; 10.0.0.0-10.0.0.9 a; 10.0.0.5-10.0.0.20 b; }", "")
