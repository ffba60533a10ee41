"""Clients of every kind, step by step: a real nginx and mailworker do the same, in the same order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle.case import Case
from tests.oracle.cases.places import CASES
from tests.oracle.difference_table import TABLE
from tests.oracle.places import ANSWERS, SERVERS
from tests.oracle.proxies import mailworker, nginx
from tests.oracle.stage import Stage, two_stages
from tests.oracle.transcript import PARTS, without_refusals
from tests.support.daemon import ServerUnavailable
from tests.support.name_server import NameServer

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def stages() -> Iterator[tuple[Stage, Stage]]:
    server = NameServer(ANSWERS)
    try:
        with two_stages(nginx, mailworker, SERVERS, dns=server.address.port) as stages:
            yield stages
    except ServerUnavailable as error:
        pytest.skip(str(error))
    finally:
        server.stop()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mailworker_does_what_nginx_does(case: Case, stages: tuple[Stage, Stage]) -> None:
    try:
        _check(case, *(stage.play(case) for stage in stages))
    except AssertionError:
        _check(case, *(stage.play(case, patiently=True) for stage in stages))


def _check(case: Case, theirs: list[str], ours: list[str]) -> None:
    ours = without_refusals(ours)
    if case.differs is None:
        assert ours == theirs
        return
    equal = tuple(part for part in PARTS if part not in TABLE[case.differs.name].parts)
    assert [line for line in ours if line.startswith(equal)] == [line for line in theirs if line.startswith(equal)]
    assert case.differs.ours in "\n".join(ours)
    assert case.differs.theirs in "\n".join(theirs)
    assert ours != theirs
