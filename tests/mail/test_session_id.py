"""The id of a session, the same in every log."""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.mail import session_id as module
from mailworker.mail.session_id import Identifier, clock_and_process, packed_id
from mailworker.native import core
from tests.support.implementations import without_c

PYTHON = without_c(module)


def test_a_session_id_is_16_characters_of_time_process_and_connection() -> None:
    identify = Identifier(*clock_and_process())
    first, second = identify(1.5, 1), identify(2.5, 2)
    assert first == Identifier(*clock_and_process())(1.5, 1)
    assert re.fullmatch(rb"[A-Za-z0-9_-]{16}", first)
    assert urlsafe_b64decode(first)[-4:] == b"\0\0\0\1"
    assert urlsafe_b64decode(second)[6:8] == urlsafe_b64decode(first)[6:8] == (os.getpid() & 0xFFFF).to_bytes(2, "big")


@pytest.mark.parametrize("make", [module.Identifier, PYTHON.Identifier], ids=["here", "Python"])
def test_an_identifier_packs_the_ids_of_a_process(make: Any) -> None:
    assert make(1e12, 2**70 + 5)(1.5, 2**70 + 7) == packed_id(1e12, 5, 1.5, 7)
    for arguments in ((), (1.5,), (1.5, 7, 8), ("", 7), (1.5, "")):
        with pytest.raises(TypeError):
            make(1e12, 5)(*arguments)
    with pytest.raises(TypeError):
        make(1e12, 5)(accepted=1.5, number=7)


@given(st.floats(0, 2**52), st.integers(0, 2**70), st.floats(0, 2**33), st.integers(0, 2**70))
def test_both_ways_to_pack_an_id_give_the_same(began: float, process: int, accepted: float, number: int) -> None:
    milliseconds = int(began + accepted * 1000)
    time_, process_, number_ = milliseconds & 0xFFFFFFFFFFFF, process & 0xFFFF, number & 0xFFFFFFFF
    expected = time_.to_bytes(6, "big") + process_.to_bytes(2, "big") + number_.to_bytes(4, "big")
    for identifier in (Identifier, PYTHON.Identifier):
        assert urlsafe_b64decode(identifier(began, process)(accepted, number)) == expected


if core.accelerator is not None:  # Python does not look at what an identifier is made of

    def test_what_is_no_number_is_refused() -> None:
        for process in ((), (1.0,), ("", 1), (1.0, "")):
            with pytest.raises(TypeError):
                module.Identifier(*process)
