from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.destinations import AccessLogFile, AccessLogPattern, literal_paths
from mailworker.variables.template import Template, parse


@pytest.mark.parametrize(
    ("below", "depth"), [(b"$protocol", 1), (b"$protocol.log", 1), (b"$protocol/x/$remote_user", 3), (b"a/$x", 2)]
)
def test_a_pattern_has_a_fixed_number_of_names(below: bytes, depth: int) -> None:
    assert AccessLogPattern(Path("/var/log"), parse(below)).depth == depth


def test_the_literal_paths_are_those_of_files() -> None:
    pattern = AccessLogPattern(Path("/logs"), Template((b"x",)))
    assert literal_paths([AccessLogFile(Path("/a")), pattern, AccessLogFile(Path("/b"))]) == [Path("/a"), Path("/b")]
