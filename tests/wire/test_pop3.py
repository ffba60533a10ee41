"""What only POP3's commands have; all other rows are in corpus_pop3.py."""

from __future__ import annotations

import pytest

from mailworker.wire.pop3 import Pop3Command, Pop3Parser, Pop3Verb
from tests.wire.corpus import Event, Invalid, run


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"USER joe doe ", Pop3Command(Pop3Verb.USER, (b"joe doe ",))),
        (b"USER  joe", Pop3Command(Pop3Verb.USER, (b"joe",))),
        (b"pass  a b", Pop3Command(Pop3Verb.PASS, (b" a b",))),
        (b"PASS  ", Pop3Command(Pop3Verb.PASS)),
        (b"PASS", Pop3Command(Pop3Verb.PASS)),
        (b"APOP joe  digest", Pop3Command(Pop3Verb.APOP, (b"joe", b"digest"))),
        (b"AUTH a b c", Pop3Command(Pop3Verb.AUTH, (b"a", b"b", b"c"))),
        (b"AUTH a b c d", Invalid()),
        (b"STAT", Invalid()),
    ],
)
def test_spaces_belong_to_names_and_passwords_and_part_all_other_arguments(line: bytes, event: Event) -> None:
    assert run(Pop3Parser(64), [line + b"\r\n"]) == [event]
