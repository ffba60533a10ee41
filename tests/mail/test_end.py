"""Reasons for which sessions end; that sessions end so is in test_record.py."""

from __future__ import annotations

import pytest

from mailworker.mail.end import End, Farewell

# What may stand in HAProxy's pair, and nginx's statuses, stream's and 408.
FIRST, SECOND = set("CScsPRIK-"), set("RCHDTQ-")
STATUSES = {200, 400, 403, 408, 500, 502, 503}


@pytest.mark.parametrize("reason", End, ids=lambda reason: reason.word)
def test_a_reason_has_a_word_a_status_and_two_letters(reason: End) -> None:
    assert reason.word.isidentifier()
    assert reason.word == reason.word.lower()
    assert reason.status in STATUSES
    assert len(reason.pair) == 2
    assert reason.pair[0] in FIRST
    assert reason.pair[1] in SECOND


def test_each_reason_has_a_word_of_its_own() -> None:
    assert len({reason.word for reason in End}) == len(End)


@pytest.mark.parametrize("reason", [reason for reason in End if reason.status == 200 and reason is not End.QUIT])
def test_who_was_logged_in_ends_well_or_in_its_data(reason: End) -> None:
    assert reason.pair == "--" or reason.pair[1] == "D"


def test_a_farewell_may_be_without_words() -> None:
    assert Farewell(End.NO_BYTES) == (End.NO_BYTES, None)
