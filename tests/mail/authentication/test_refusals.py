from __future__ import annotations

from mailworker.mail.authentication.refusals import Refusals
from mailworker.wire.auth_response import Rejected
from mailworker.wire.refusal import Reason, Refusal

WORDS = Refusals(b"[W] ", b"[F] ", b"[T] ")


def test_codes_stand_before_the_words_and_the_session_goes_on() -> None:
    assert WORDS.wrong == Rejected(b"[W] Authentication failed", code=b"535 5.7.8", final=False)
    assert WORDS.temporary == Rejected(b"[T] Temporary authentication failure", code=b"454 4.7.0", final=False)
    assert WORDS.forbidden(b"moved") == Rejected(b"[F] moved", code=b"535 5.7.1", final=False)


def test_a_backends_words_are_told_only_where_they_tell_nobody_who_exists() -> None:
    assert WORDS.of(Refusal(Reason.LOGIN, b"unknown user")) == WORDS.wrong
    assert WORDS.of(Refusal(Reason.TEMPORARY, b"database away")) == WORDS.temporary
    assert WORDS.of(Refusal(Reason.OTHER, b"5.7.9 stronger", b"534")) == Rejected(
        b"5.7.9 stronger", code=b"534", final=False
    )
