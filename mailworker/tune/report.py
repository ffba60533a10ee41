"""The measurements and the advice as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from mailworker.tune.advice import Advice
from mailworker.tune.load import Kind
from mailworker.tune.trial import Result

_BAR = 40  # characters of the longest bar
_MEGABYTE = 1_000_000


def as_text(results: Sequence[Result], advice: Advice) -> str:
    """A table and a chart of each kind of measurement, and the advice as directives."""
    lines: list[str] = []
    for kind in dict.fromkeys(result.kind for result in results):
        lines += [*_table(kind, [result for result in results if result.kind is kind]), ""]
    lines += ["Recommended:", *(f"    {line}" for line in advice.directives())]
    return "\n".join(lines) + "\n"


def as_json(results: Sequence[Result], advice: Advice) -> str:
    """An object with "measurements", whose rates are per second, and "recommended" values by directives."""
    measurements = [
        {
            "kind": result.kind.value,
            "workers": result.workers,
            "rate": round(result.rate, 1),
            "processors_used": round(result.processor, 3),
            "rate_without_clients": round(result.potential, 1),
        }
        for result in results
    ]
    recommended = {
        "worker_processes": advice.worker_processes,
        "worker_cpu_affinity": "auto" if advice.worker_cpu_affinity else None,
        "worker_connections": advice.worker_connections,
        "ssl_session_cache": None if advice.zone is None else f"shared:mail:{advice.zone}m",
    }
    return json.dumps({"measurements": measurements, "recommended": recommended}, indent=2) + "\n"


def _table(kind: Kind, results: Sequence[Result]) -> Iterator[str]:
    unit = {Kind.HANDSHAKES: "full handshakes", Kind.LOGINS: "logins", Kind.RELAYED_BYTES: "megabytes relayed"}[kind]
    scale = _MEGABYTE if kind is Kind.RELAYED_BYTES else 1
    best = max(result.potential for result in results) or 1.0
    yield f"{unit.capitalize()} per second"
    yield "workers    measured  processors used  without clients here"
    for result in results:
        bar = "#" * round(result.potential / best * _BAR)
        rate, potential = result.rate / scale, result.potential / scale
        yield f"{result.workers:7}  {rate:10.0f}  {result.processor:15.2f}  {potential:20.0f}  {bar}"
