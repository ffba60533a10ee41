from __future__ import annotations

import pytest

from mailworker.errors import Party, ProtocolError
from mailworker.wire.command import InvalidCommand, TooLongCommand

SECRET = b"a LOGIN joe hunter2"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InvalidCommand(SECRET, close=True), "client sent invalid command"),
        (TooLongCommand(SECRET, b"a"), "client sent too long command"),
    ],
)
def test_a_wrong_command_is_the_clients_fault_and_is_not_repeated(error: ProtocolError, text: str) -> None:
    assert error.party is Party.CLIENT
    assert str(error) == text
    assert "hunter2" not in repr(error)


def test_an_invalid_command_has_no_tag_and_closes_nothing_unless_that_is_said() -> None:
    assert (InvalidCommand().tag, InvalidCommand().close) == (None, False)
