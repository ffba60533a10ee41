"""The benches of the status page run the processes that they speak of."""

import psutil

from bench.arena import Arena
from bench.status import scrape, shown
from tests.support.process import title


def test_as_many_workers_run_as_are_asked_for_beside_the_status_process(arena: Arena) -> None:
    with shown(arena, workers=2) as it:
        assert "worker_processes 2;" in it.server.text
        assert b"mailworker" in scrape(it.page)
        assert title(psutil.Process(it.process)).startswith("mailworker: status process")
