"""The `geo` block; nginx's verdicts are in tests/oracle."""

from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.blocks import servers, value
from tests.config.conftest import Load
from tests.variables.facts import Session


def test_networks_may_come_from_a_variable_and_be_taken_back(load_text: Load) -> None:
    (server,) = servers(
        load_text, "geo $remote_user $g { default no; 10.0.0.0/8 ten; 10.1.0.0/16 gone; delete 10.1.0.0/16; }", ""
    )
    assert [value(server, "$g", Session(remote_user=text)) for text in (b"10.1.2.3", b"11.0.0.1", b"")] == [
        b"ten",
        b"no",
        b"no",
    ]


def test_a_network_that_is_none_is_refused(load_text: Load) -> None:
    with pytest.raises(ConfigError, match=r'invalid network "10.0.0.0/40"'):
        servers(load_text, "geo $g { 10.0.0.0/40 x; }", "")
