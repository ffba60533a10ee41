"""Dialogues at random: a real nginx and mailworker do the same, or what the table of differences says.

mailworker does the same at the default level of the log, too, at which a lobby hears a client's first words.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.case import Case
from tests.oracle.difference_table import TABLE
from tests.oracle.divergence import divergence
from tests.oracle.explanations import RULES, explain
from tests.oracle.proxies import Proxy, mailworker, nginx
from tests.oracle.random_answers import headers, verdicts
from tests.oracle.random_dialogues import dialogues
from tests.oracle.stage import Stage, two_stages
from tests.oracle.unseen_table import UNSEEN
from tests.support.daemon import Address, ServerUnavailable

# The long form: so many dialogues of each protocol, others at each run.
EXAMPLES = os.environ.get("MAILWORKER_DIALOGUES")

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.usefixtures("same_examples"),
    pytest.mark.timeout(0 if EXAMPLES else 120),
]


@pytest.fixture(scope="module")
def stages() -> Iterator[tuple[Stage, Stage]]:
    try:
        with two_stages(nginx, mailworker) as stages:
            yield stages
    except ServerUnavailable as error:
        pytest.skip(str(error))


def _at_the_default_level(folder: Path, configuration: str, addresses: Sequence[Address]) -> Proxy:
    return mailworker(folder, configuration.replace("error_log error.log info;", "error_log error.log;"), addresses)


@pytest.fixture(scope="module")
def levels() -> Iterator[tuple[Stage, Stage]]:
    with two_stages(mailworker, _at_the_default_level) as stages:
        yield stages


def _examples(number: int) -> settings:
    return settings(
        max_examples=int(EXAMPLES or number),
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


every_protocol = pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])


@every_protocol
@pytest.mark.parametrize(("kind", "number"), [(dialogues, 100), (verdicts, 50), (headers, 50)])
def test_mailworker_does_what_nginx_does(
    protocol: str, kind: Callable[[str], st.SearchStrategy[Case]], number: int, stages: tuple[Stage, Stage]
) -> None:
    theirs, ours = stages

    @_examples(number)
    @given(kind(protocol))
    def agree(case: Case) -> None:
        at = divergence(theirs.play(case), ours.play(case))
        if at is not None and not explain(case, at):
            at = divergence(theirs.play(case, patiently=True), ours.play(case, patiently=True))
        assert at is None or explain(case, at), f"{case}\n{at}"

    agree()


@every_protocol
def test_the_level_of_the_log_changes_no_byte(protocol: str, levels: tuple[Stage, Stage]) -> None:
    @_examples(40)
    @given(dialogues(protocol))
    def agree(case: Case) -> None:
        for patiently in (False, True):
            verbose, usual = (_bytes(stage.play(case, patiently=patiently)) for stage in levels)
            if verbose == usual:
                return
        assert verbose == usual, case

    agree()


def _bytes(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("log ")]


def test_every_explanation_is_a_named_difference() -> None:
    assert set(RULES) <= {*TABLE, *UNSEEN}
