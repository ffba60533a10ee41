"""Rows as a benchmark leaves them."""

from bench.results import Row


def row(nginx: float, mailworker: float, *, met: bool = True) -> Row:
    return {
        "title": "CPU per something",
        "unit": "us",
        "command": "python -m bench something",
        "nginx": {"median": nginx, "samples": [nginx]},
        "mailworker": {"median": mailworker, "samples": [mailworker]},
        "ratio": mailworker / nginx if nginx else 0.0,
        "goal": "ratio <= 1",
        "met": met,
    }
