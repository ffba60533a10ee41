import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.capacity import (
    MEASURES,
    PAGE,
    Costs,
    Host,
    Population,
    gigabits_per_second,
    idle_sessions,
    load,
    logins_per_second,
    mean_login,
    report,
    simulate,
    write,
)
from bench.report import BEGIN, END, ROOT, put_between
from tests.bench.rows import row

COSTS = Costs(login=100, full=800, resumed=300, relay=300, relay_tls=1000, session=2, session_tls=15, kernel=10)
HOST = Host(workers=4, memory=1e9, gigabits=10, ports=10_000)


def test_memory_holds_what_worker_and_kernel_need_for_a_session() -> None:
    assert idle_sessions(COSTS, HOST, tls=False) == pytest.approx(0.9e9 / 1024 / 12)
    assert idle_sessions(COSTS, HOST, tls=True) == pytest.approx(0.9e9 / 1024 / 25)


def test_rates_are_those_of_all_workers() -> None:
    assert logins_per_second(800, HOST) == 5000
    assert gigabits_per_second(1000, HOST) == pytest.approx(4000 * (1 << 20) * 8 / 1e9)


def test_a_population_demands_shares_of_a_host() -> None:
    population = Population(10_000, sessions_each=2, minutes=10, resumed=0.5, bits=0, storm=20)
    demand = load(COSTS, HOST, population)
    assert mean_login(COSTS, population) == 550
    assert demand.processors == pytest.approx(20_000 / 600 * 550 / 4e6)
    assert demand.processors_in_storm == pytest.approx(1000 * 550 / 4e6)
    assert (demand.network, demand.backends) == (0, 2)


def test_bytes_pass_a_host_twice() -> None:
    assert load(COSTS, HOST, Population(1000, sessions_each=1, bits=1e6)).network == pytest.approx(0.2)


def test_nobody_waits_at_workers_that_are_half_idle_and_everybody_at_those_that_are_overrun() -> None:
    host = replace(HOST, workers=32)
    half, overrun = (simulate(COSTS, host, Population(), share, 20_000) for share in (0.5, 1.2))
    assert half.used == pytest.approx(0.5, abs=0.05)
    assert half.p99 < 0.1
    assert overrun.used > 0.95
    assert overrun.median > 10


def test_a_simulation_is_repeatable() -> None:
    assert simulate(COSTS, HOST, Population(), 0.9, 1000) == simulate(COSTS, HOST, Population(), 0.9, logins=1000)


def test_the_page_takes_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "capacity.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    write(page, {name: row(100, 50) for name in MEASURES})
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}| one host")
    assert text.endswith(f"|\n{END}after\n")
    assert BEGIN in PAGE.read_text(encoding="utf-8")


def test_the_page_has_the_figures_of_the_costs_that_were_measured() -> None:
    rows = json.loads((ROOT / "bench" / "results.json").read_text(encoding="utf-8"))["rows"]
    page = PAGE.read_text(encoding="utf-8")
    assert put_between(page, report(rows)) == page
