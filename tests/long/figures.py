"""The figures of a long run, in a file that a later run goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


class Figures:
    """Sums by name, and a description of where they come from; `path` None keeps them in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._sums: dict[str, float] = {}
        self._system: dict[str, str | int | None] = {}

    @classmethod
    def resume(cls, path: Path | None, name: str, goal: float) -> Figures:
        """Go on with those of a run that was broken off, before the figure `name` had reached `goal`."""
        figures = cls(path)
        if path is not None and path.exists():
            before: dict[str, float] = json.loads(path.read_text())["figures"]
            if before.get(name, 0) < goal:
                figures.set(before)
        return figures

    def number(self, name: str) -> float:
        """A figure, 0 where there is none yet."""
        return self._sums.get(name, 0)

    def add(self, more: Mapping[str, float]) -> None:
        """Add to the sums."""
        for name, count in more.items():
            self._sums[name] = round(self.number(name) + count, 1)

    def set(self, figures: Mapping[str, float]) -> None:
        """Figures that are no sums."""
        self._sums.update(figures)

    def describe(self, system: Mapping[str, str | int | None]) -> None:
        """Say where the figures come from."""
        self._system = dict(system)

    @property
    def text(self) -> str:
        """All of it, as JSON."""
        return json.dumps({"system": self._system, "figures": dict(sorted(self._sums.items()))}, indent=2) + "\n"

    def save(self) -> None:
        """Write the file anew, whole or not at all."""
        if self._path is not None:
            fresh = self._path.with_name(f"{self._path.name}.new")
            fresh.write_text(self.text)
            fresh.replace(self._path)
