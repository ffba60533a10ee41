from __future__ import annotations

import json

import pytest

from mailworker.tune.advice import Advice
from mailworker.tune.load import Kind
from mailworker.tune.report import as_json, as_text
from mailworker.tune.trial import Result


def test_a_chart_shows_what_workers_would_do_without_clients() -> None:
    results = [
        Result(Kind.LOGINS, 1, 1000.0, 0.5),
        Result(Kind.LOGINS, 2, 1500.0, 0.375),
        Result(Kind.RELAYED_BYTES, 1, 25e6, 0.5),
    ]
    assert as_text(results, Advice(2, False, 960, None)).splitlines() == [
        "Logins per second",
        "workers    measured  processors used  without clients here",
        "      1        1000             0.50                  2000  ##########",
        "      2        1500             0.38                  8000  " + "#" * 40,
        "",
        "Megabytes relayed per second",
        "workers    measured  processors used  without clients here",
        "      1          25             0.50                    50  " + "#" * 40,
        "",
        "Recommended:",
        "    worker_processes 2;",
        "    events { worker_connections 960; }",
    ]


def test_workers_whose_time_was_too_short_to_be_counted_have_no_bar() -> None:
    lines = as_text([Result(Kind.LOGINS, 1, 10.0, 0.0)], Advice(1, False, 960, None)).splitlines()
    assert lines[2] == "      1          10             0.00                     0  "


@pytest.mark.parametrize(
    ("bound", "zone", "affinity", "cache"), [(True, 7, "auto", "shared:mail:7m"), (False, None, None, None)]
)
def test_scripts_get_rates_and_the_values_of_directives(
    bound: bool, zone: int | None, affinity: str | None, cache: str | None
) -> None:
    text = as_json([Result(Kind.LOGINS, 2, 1000.06, 0.37549)], Advice(2, bound, 960, zone))
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "measurements": [
            {"kind": "logins", "workers": 2, "rate": 1000.1, "processors_used": 0.375, "rate_without_clients": 5326.7}
        ],
        "recommended": {
            "worker_processes": 2,
            "worker_cpu_affinity": affinity,
            "worker_connections": 960,
            "ssl_session_cache": cache,
        },
    }
