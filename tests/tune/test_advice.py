from __future__ import annotations

import pytest

from mailworker.tune.advice import Advice, advise
from mailworker.tune.load import Kind
from mailworker.tune.trial import Result


def logins(*rates: float) -> list[Result]:
    """Measurements with 1, 2 ... workers that took a whole processor each."""
    return [Result(Kind.LOGINS, workers, rate, float(workers)) for workers, rate in enumerate(rates, start=1)]


@pytest.mark.parametrize(
    ("rates", "workers"),
    [((1000.0,), 1), ((1000.0, 1900.0, 2700.0), 3), ((1000.0, 1900.0, 1950.0), 2), ((1000.0, 900.0), 1)],
)
def test_the_fewest_workers_that_do_nearly_best_are_recommended(rates: tuple[float, ...], workers: int) -> None:
    assert advise(logins(*rates), processors=8, descriptors=1024, session_timeout=300).worker_processes == workers


def test_what_clients_take_from_the_workers_does_not_count() -> None:
    results = [Result(Kind.LOGINS, 1, 1000.0, 0.5), Result(Kind.LOGINS, 2, 1000.0, 0.5)]
    assert advise(results, processors=2, descriptors=1024, session_timeout=300).worker_processes == 2


def test_relaying_does_not_decide_about_workers() -> None:
    relayed = [Result(Kind.RELAYED_BYTES, 1, 1e9, 1.0), Result(Kind.RELAYED_BYTES, 2, 2e9, 2.0)]
    assert advise([*logins(1000.0, 1000.0), *relayed], processors=2, descriptors=99, session_timeout=9) == Advice(
        worker_processes=1, worker_cpu_affinity=False, worker_connections=34, zone=None
    )


@pytest.mark.parametrize(
    ("rates", "processors", "bound"),
    [((1000.0, 2000.0), 2, True), ((1000.0, 2000.0), 3, False), ((1000.0,), 1, False)],
)
def test_workers_are_bound_where_several_have_a_processor_each(
    rates: tuple[float, ...], processors: int, bound: bool
) -> None:
    advice = advise(logins(*rates), processors=processors, descriptors=1024, session_timeout=300)
    assert advice.worker_cpu_affinity == bound


@pytest.mark.parametrize(("descriptors", "connections"), [(3, 2), (1024, 960), (10_000_000, 65536)])
def test_connections_fit_the_descriptors(descriptors: int, connections: int) -> None:
    advice = advise(logins(1.0), processors=1, descriptors=descriptors, session_timeout=300)
    assert advice.worker_connections == connections


@pytest.mark.parametrize(("rate", "timeout", "zone"), [(1.0, 300, 1), (800.0, 300, 10), (800.0, 86400, 256)])
def test_the_zone_has_room_for_the_sessions_of_a_timeout(rate: float, timeout: int, zone: int) -> None:
    results = [Result(Kind.HANDSHAKES, 1, rate, 1.0)]
    assert advise(results, processors=1, descriptors=1024, session_timeout=timeout).zone == zone


def test_advice_is_given_as_directives() -> None:
    assert Advice(2, True, 960, 10).directives() == [
        "worker_processes 2;",
        "worker_cpu_affinity auto;",
        "events { worker_connections 960; }",
        "ssl_session_cache shared:mail:10m;",
    ]
    assert Advice(1, False, 960, None).directives() == ["worker_processes 1;", "events { worker_connections 960; }"]
