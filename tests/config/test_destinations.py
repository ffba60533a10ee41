from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.destinations import AccessLogPattern
from mailworker.variables.template import parse


@pytest.mark.parametrize(
    ("below", "depth"), [(b"$protocol", 1), (b"$protocol.log", 1), (b"$protocol/x/$remote_user", 3), (b"a/$x", 2)]
)
def test_a_pattern_has_a_fixed_number_of_names(below: bytes, depth: int) -> None:
    assert AccessLogPattern(Path("/var/log"), parse(below)).depth == depth
