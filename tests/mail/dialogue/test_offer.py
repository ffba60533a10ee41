"""What clients are offered, in clear and over TLS, and what they may do there."""

from __future__ import annotations

import pytest

from mailworker.mail.dialogue.dialogue import StartTls
from mailworker.model import Starttls
from mailworker.wire.login import Login
from tests.mail.cases import Case, all_protocols
from tests.mail.dialogue.dialogues import next_request
from tests.mail.dialogue.test_dialogue import LOGOUT, STARTTLS, dialogue_of
from tests.support.memory_stream import MemoryStream, MemoryTls, run


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("starttls", Starttls)
@all_protocols
def test_a_login_is_taken_and_starttls_offered_where_they_may(case: Case, starttls: Starttls, encrypted: bool) -> None:
    def wanted(said: bytes) -> object:
        stream = MemoryStream(said, LOGOUT[case.protocol], tls=MemoryTls() if encrypted else None)
        return run(next_request(dialogue_of(case.protocol, stream, starttls=starttls)))

    assert isinstance(wanted(case.login), Login) is (encrypted or starttls is not Starttls.ONLY)
    assert isinstance(wanted(STARTTLS[case.protocol]), StartTls) is (not encrypted and starttls is not Starttls.OFF)


@all_protocols
def test_a_salt_is_never_used_twice(case: Case) -> None:
    dialogue = dialogue_of(case.protocol, MemoryStream())
    salts = {dialogue.new_salt() for _ in range(100)}
    assert len(salts) == 100
    assert all(salt.startswith(b"<") and salt.endswith(b"@mail.example.com>") for salt in salts)
