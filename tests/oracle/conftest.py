"""Plays the selected cases through both proxies, all at once, before the first test looks at one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from tests.oracle.case import Case
from tests.oracle.cases import CASES
from tests.oracle.proxies import mailworker, nginx
from tests.oracle.runner import Bench, Run
from tests.support.daemon import ServerUnavailable


@pytest.fixture(scope="session")
def selected(request: pytest.FixtureRequest) -> list[tuple[int, Case]]:
    """The cases of the tests that are to run, with their numbers."""
    numbers = {item.callspec.params.get("number") for item in request.session.items if hasattr(item, "callspec")}
    return [(number, case) for number, case in enumerate(CASES) if number in numbers]


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def of_nginx(bench: Bench, selected: list[tuple[int, Case]]) -> Run:
    try:
        return bench.play(nginx, selected)
    except ServerUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def of_mailworker(bench: Bench, selected: list[tuple[int, Case]], of_nginx: Run) -> Run:
    return bench.play(mailworker, selected)


@pytest.fixture
def same_examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples do not depend on what was loaded before: Hypothesis tries constants of all modules that it finds."""
    providers.CONSTANTS_CACHE.cache.clear()
    monkeypatch.setattr(providers, "_get_local_constants", Constants)
    yield
    providers.CONSTANTS_CACHE.cache.clear()
