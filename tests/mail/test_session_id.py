"""What a session is called in every log."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode

from mailworker.mail.session_id import session_id


def test_a_session_id_is_16_characters_of_time_process_and_connection() -> None:
    first, second = session_id(1.5, 1), session_id(2.5, 2)
    assert first == session_id(1.5, 1)
    assert re.fullmatch(rb"[A-Za-z0-9_-]{16}", first)
    assert urlsafe_b64decode(first)[-4:] == b"\0\0\0\1"
    assert urlsafe_b64decode(second)[6:8] == urlsafe_b64decode(first)[6:8]
