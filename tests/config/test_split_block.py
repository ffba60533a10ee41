"""The `split_clients` block; nginx's verdicts are in tests/oracle."""

from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.blocks import servers, value
from tests.config.conftest import Load
from tests.variables.facts import Session


def test_shares_are_read_to_a_hundredth(load_text: Load) -> None:
    (server,) = servers(load_text, "split_clients $remote_user $s { .01% a; 99.99% b; }", "")
    assert value(server, "$s", Session(remote_user=b"x")) == b"b"


@pytest.mark.parametrize("share", ["0.00%", "1.001%", "100.01%", "1e1%", "9" * 5000 + "%"])
def test_what_is_no_share_is_refused(load_text: Load, share: str) -> None:
    with pytest.raises(
        ConfigError, match=r"invalid percent value|percent total is greater than 100%|too long parameter"
    ):
        servers(load_text, f"split_clients a $s {{ {share} a; }}", "")
