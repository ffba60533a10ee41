"""The same dialogues with a real nginx and with mailworker: every party sees the same bytes, the log the same lines."""

from __future__ import annotations

import pytest

from tests.oracle.case import Difference
from tests.oracle.cases import CASES
from tests.oracle.difference_table import TABLE
from tests.oracle.runner import Run
from tests.oracle.transcript import PARTS, Transcript, faults, without_refusals

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_mailworker_does_what_nginx_does(number: int, of_nginx: Run, of_mailworker: Run) -> None:
    theirs, ours = of_nginx.transcripts[number], of_mailworker.transcripts[number]
    difference = CASES[number].differs
    if difference is None:
        assert without_refusals(ours.lines()) == theirs.lines()
    else:
        _check_difference(difference, theirs, ours)


def test_mailworker_has_no_fault_of_its_own(of_mailworker: Run) -> None:
    sessions = [text for transcript in of_mailworker.transcripts.values() for text in transcript.log]
    assert faults([*sessions, *of_mailworker.log]) == []


def _check_difference(difference: Difference, theirs: Transcript, ours: Transcript) -> None:
    """Only where it may, and as it is said to be."""
    equal = [part for part in PARTS if part not in TABLE[difference.name].parts]
    assert without_refusals(ours.lines(equal)) == theirs.lines(equal)
    all_ours, all_theirs = "\n".join(ours.lines()), "\n".join(theirs.lines())
    assert difference.ours in all_ours
    assert difference.theirs in all_theirs
    assert not difference.ours or difference.ours not in all_theirs
    assert not difference.theirs or difference.theirs not in all_ours
