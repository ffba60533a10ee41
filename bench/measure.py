"""A measure, its goal, and its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.arena import Arena, Duel


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached: a bound of the ratio mailworker / rival, or of mailworker's own figure."""

    bound: float
    of: str = "ratio"  # or "figure"
    at_least: bool = False

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{'ratio ' if self.of == 'ratio' else ''}{sign} {self.bound:g}"

    def met(self, ratio: float, figure: float) -> bool:
        value = ratio if self.of == "ratio" else figure
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Measure:
    """One row: what `python -m bench NAME` runs, with mailworker against its rival."""

    name: str
    title: str
    unit: str
    goal: Goal
    run: Callable[[Arena], Duel]
    rival: str = "nginx"


def summarise(measure: Measure, duel: Duel) -> dict[str, Any]:
    """The row as it is kept in JSON."""
    theirs, ours = median(duel.theirs), median(duel.ours)
    ratio = ours / theirs if theirs else 0.0
    return {
        "title": measure.title,
        "unit": measure.unit,
        "command": f"python -m bench {measure.name}",
        "rival": measure.rival,
        measure.rival: _figures(theirs, duel.theirs),
        "mailworker": _figures(ours, duel.ours),
        "ratio": round(ratio, 3),
        "goal": str(measure.goal),
        "met": measure.goal.met(ratio, ours),
    }


def _figures(middle: float, samples: list[float]) -> dict[str, Any]:
    return {"median": _rounded(middle), "samples": [_rounded(sample) for sample in samples]}


def _rounded(figure: float) -> float:
    return float(f"{figure:.4g}")
