"""The part of docs/security.md that is made from the figures of the long runs.

    python -m tests.long.document

writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.long.site import ROOT

PAGE = ROOT / "docs" / "security.md"
FIGURES = ROOT / "docs" / "figures"
_BEGIN, _END = "<!-- made by tests.long.document -->\n", "<!-- end -->\n"


@dataclass(frozen=True, slots=True)
class Run:
    """What a long run has found, and where."""

    system: Mapping[str, str | int | None]
    figures: Mapping[str, float]

    @classmethod
    def read(cls, name: str) -> Run:
        content = json.loads((FIGURES / f"{name}.json").read_text())
        return cls(content["system"], content["figures"])

    def number(self, name: str) -> float:
        """A figure, 0 where nothing of the kind happened."""
        return self.figures.get(name, 0)

    def count(self, name: str) -> str:
        """The same for people."""
        return f"{self.number(name):,.0f}"

    @property
    def where(self) -> str:
        """The machine."""
        return f"{self.system['processors']} processors, Python {self.system['python']}"


def section() -> str:
    """All three runs."""
    return "\n".join([*_chaos(Run.read("chaos")), "", *_soak(Run.read("soak")), "", *_fuzz(Run.read("fuzz"))]) + "\n"


def _table(rows: Iterable[tuple[str, str, str]]) -> Iterable[str]:
    yield "| What | Promise | Found |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3f} %" if whole else "none"


def _chaos(run: Run) -> Iterable[str]:
    wrong, right = run.number("logins gone wrong"), run.number("logins")
    sent = (run.number("bytes to clients") + run.number("backend: bytes")) / 1e9
    kept = run.number("short sessions") + run.number("idle sessions") + run.number("streams")
    lost = run.number("streams lost") + run.number("idle sessions lost") + run.number("short sessions lost")
    leaks = sum(abs(count) for name, count in run.figures.items() if name.startswith("leaked "))
    broken = run.number("streams with wrong bytes") + run.number("backend: wrong")
    yield f"`make chaos`, {run.number('seconds') / 60:.0f} minutes ({run.where}, workers behind `worker_sandbox on`):"
    yield f"{run.count('kills')} workers killed, {run.count('reloads')} reloads, {run.count('rotations')} logs rotated."
    yield ""
    yield from _table(
        [
            (
                "logins not on a killed worker",
                "99.9 % succeed",
                f"{_share(right, right + wrong)} of {right + wrong:,.0f}; {run.count('logins on killed workers')} "
                "more were on killed workers",
            ),
            (
                "logins whose auth service or backend refuses, lies, stalls, leaves or resets",
                "end as they should",
                f"{run.count('faulty logins')}, {run.count('faulty logins gone wrong')} otherwise",
            ),
            (
                "sessions not on a killed worker",
                "none is lost",
                f"{lost:,.0f} of {kept + lost:,.0f}",
            ),
            (
                "bytes relayed, by SHA-256 of every stream",
                "none is wrong",
                f"{broken:,.0f} wrong streams, {sent:,.1f} GB",
            ),
            ("descriptors, shared zones, processes", "none is leaked", f"{leaks:,.0f}"),
            ("alerts in the log but for the killed workers", "none", run.count("alerts")),
        ]
    )


def _soak(run: Run) -> Iterable[str]:
    yield f"`make soak`, {run.count('sessions')} sessions in {run.number('seconds') / 60:.0f} minutes ({run.where}):"
    protocols = ", ".join(f"{run.count(f'{name} sessions')} {name.upper()}" for name in ("imap", "pop3", "smtp"))
    yield f"{protocols}; one in ten over TLS, {run.count('sessions with a fault')} with a fault."
    yield ""
    memory = run.number("memory, MB per 100,000 sessions")
    yield from _table(
        [
            ("sessions that ended otherwise than they should", "none", run.count("failures")),
            (
                "memory of the workers after the warm-up, per 100,000 sessions",
                "grows by less than 1 MB",
                f"{memory:+.3f} MB ({run.number('memory after the warm-up, MB')} MB, "
                f"then {run.number('memory at the end, MB')} MB)",
            ),
            (
                "descriptors of the workers, per 100,000 sessions",
                "as many as before",
                f"{run.number('descriptors per 100,000 sessions'):+.3f}",
            ),
        ]
    )


def _fuzz(run: Run) -> Iterable[str]:
    yield f"`make fuzz` ({run.where}). Each target takes any bytes and tells the same however these are cut, or raises"
    yield "the one error that its protocol has; `native` is the C part, watched by sanitizers."
    yield ""
    yield "| Target | Inputs tried | Seconds | Edges reached | Inputs kept | Failures |"
    yield "|---|--:|--:|--:|--:|--:|"
    for name in dict.fromkeys(key.partition(":")[0] for key in run.figures):
        figures = (run.count(f"{name}: {what}") for what in ("executions", "seconds", "edges", "inputs kept"))
        yield f"| {name} | {' | '.join(figures)} | 0 |"


def updated(page: str) -> str:
    """A page with the section of now."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{section()}{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
