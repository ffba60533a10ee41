"""The short forms of the long runs keep what the long ones promise."""

from __future__ import annotations

import os

import pytest

from tests.long import chaos, soak
from tests.long.figures import Figures

pytestmark = pytest.mark.timeout(300)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees whom a worker serves")
def test_chaos_harms_only_those_whose_worker_is_killed() -> None:
    figures = Figures()
    failures = chaos.run(10.0, figures, servers=48)
    assert failures == [], figures.text
    for what in (
        "kills",
        "reloads",
        "rotations",
        "logins",
        "faulty logins",
        "streams",
        "idle sessions",
        "upgrades",
        "freezes",
    ):
        assert figures.number(what) > 0, what  # how many it can be is up to the machine


def test_sessions_leave_nothing_behind() -> None:
    figures = Figures()
    failures = soak.run(2000, figures, batch=200)
    assert failures == [], figures.text
    assert figures.number("descriptors per 100,000 sessions") == 0
    assert figures.number("memory at the end, MB") < figures.number("memory after the warm-up, MB") + 1


@pytest.mark.parametrize(
    ("samples", "expected"),
    [([], 0.0), ([(1, 5)], 0.0), ([(0, 1), (1, 3), (2, 5)], 2.0), ([(0, 4), (10, 4), (20, 4)], 0.0)],
)
def test_a_slope_is_that_of_the_best_line(samples: list[tuple[float, float]], expected: float) -> None:
    assert soak.slope(samples) == expected
