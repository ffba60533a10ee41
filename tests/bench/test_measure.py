import pytest

from bench.arena import Arena, Duel
from bench.measure import Goal, Measure, summarise
from bench.results import cells


def unused(_arena: Arena) -> Duel:
    raise AssertionError


@pytest.mark.parametrize(
    ("goal", "ratio", "figure", "met"),
    [
        (Goal(0.9), 0.9, 500.0, True),
        (Goal(0.9), 0.91, 0.1, False),
        (Goal(15.0, "figure"), 0.5, 15.1, False),
        (Goal(15.0, "figure"), 7.0, 15.0, True),
        (Goal(1.8, "figure", at_least=True), 1.0, 1.9, True),
        (Goal(1.8, "figure", at_least=True), 1.0, 1.7, False),
    ],
)
def test_a_goal_looks_at_its_own_number(goal: Goal, ratio: float, figure: float, met: bool) -> None:
    assert goal.met(ratio, figure) is met


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (Goal(0.95), "ratio <= 0.95"),
        (Goal(35.0, "figure"), "<= 35"),
        (Goal(1.8, "figure", at_least=True), ">= 1.8"),
    ],
)
def test_a_goal_reads_as_it_is_meant(goal: Goal, text: str) -> None:
    assert str(goal) == text


def test_medians_are_compared() -> None:
    measure = Measure("some-name", "what it is", "us", Goal(0.5), unused)
    assert summarise(measure, Duel([100.0, 300.0, 200.0], [80.0, 1000.0, 90.0])) == {
        "title": "what it is",
        "unit": "us",
        "command": "python -m bench some-name",
        "rival": "nginx",
        "nginx": {"median": 200.0, "samples": [100.0, 300.0, 200.0]},
        "mailworker": {"median": 90.0, "samples": [80.0, 1000.0, 90.0]},
        "ratio": 0.45,
        "goal": "ratio <= 0.5",
        "met": True,
    }


def test_nothing_against_nothing_has_no_ratio() -> None:
    row = summarise(Measure("idle", "idle", "ms", Goal(0.0, "figure"), unused), Duel([0.0], [0.0]))
    assert (row["ratio"], row["met"]) == (0.0, True)


def test_another_rival_has_its_name() -> None:
    row = summarise(Measure("relay", "relay", "us", Goal(0.9), unused, "HAProxy"), Duel([100.0], [50.0]))
    assert row["rival"] == "HAProxy"
    assert row["HAProxy"] == {"median": 100.0, "samples": [100.0]}
    assert cells("relay", row)[:3] == ["relay", "HAProxy 100", "50"]
