from __future__ import annotations

import pytest

from mailworker.config.affinity import CpuAffinity
from mailworker.process.system.identity import processors_of_worker, worker_environment


@pytest.mark.parametrize(
    ("env", "kept"),
    [
        ((), {"TZ": "UTC"}),
        (("PATH",), {"TZ": "UTC", "PATH": "/bin"}),
        (("MISSING",), {"TZ": "UTC"}),
        (("NEW=value",), {"TZ": "UTC", "NEW": "value"}),
        (("PATH=a=b",), {"TZ": "UTC", "PATH": "a=b"}),
        (("EMPTY=",), {"TZ": "UTC", "EMPTY": ""}),
        (("TZ=Europe/Moscow",), {"TZ": "Europe/Moscow"}),
    ],
)
def test_only_what_env_names_is_kept(env: tuple[str, ...], kept: dict[str, str]) -> None:
    assert worker_environment(env, {"TZ": "UTC", "PATH": "/bin", "SECRET": "x"}) == kept


def test_no_time_zone_is_made_up() -> None:
    assert worker_environment((), {}) == {}


@pytest.mark.parametrize(
    ("affinity", "processors"),
    [
        (CpuAffinity(False, (0b1, 0b10)), [[0], [1], [1], [1]]),
        (CpuAffinity(False, (0b101, 0b1010)), [[0, 2], [1, 3], [1, 3], [1, 3]]),
        (CpuAffinity(True, ()), [[4], [6], [4], [6]]),
        (CpuAffinity(True, (0b1011,)), [[0], [1], [3], [0]]),
        (CpuAffinity(True, (0,)), [None] * 4),
        (CpuAffinity(False, (0,)), [[]] * 4),
    ],
)
def test_workers_are_dealt_their_processors(affinity: CpuAffinity, processors: list[list[int] | None]) -> None:
    assert [processors_of_worker(affinity, number, [4, 6]) for number in range(4)] == processors
