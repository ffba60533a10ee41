"""What only SMTP's commands have."""

from __future__ import annotations

import pytest

from mailworker.wire.smtp import SmtpCommand, SmtpParser


@pytest.mark.parametrize(
    ("line", "has_nul"),
    [(b"MAIL FROM:<a@b>", False), (b"MAIL FROM:<a\0@b>", True), (b"EHLO \0", True), (b"RCPT TO:<x> \0", True)],
)
def test_nul_is_seen_anywhere_in_the_line(line: bytes, has_nul: bool) -> None:
    parser = SmtpParser(64)
    parser.feed(line + b"\r\n")
    command = parser.next()
    assert isinstance(command, SmtpCommand)
    assert command.line == line
    assert command.has_nul is has_nul
