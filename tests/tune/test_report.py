from __future__ import annotations

from mailworker.tune.advice import Advice
from mailworker.tune.load import Kind
from mailworker.tune.report import as_text
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
