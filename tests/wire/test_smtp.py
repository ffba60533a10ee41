"""What only SMTP's commands have."""

from __future__ import annotations

import pytest

from mailworker.wire.smtp import SmtpCommand, SmtpParser


@pytest.mark.parametrize(
    ("line", "has_control"),
    [
        (b"MAIL FROM:<a@b>", False),
        (b"MAIL FROM:<\xc3\xa4\xff@b>", False),
        (b"MAIL FROM:<a\0@b>", True),
        (b"EHLO \0", True),
        (b"RCPT TO:<x> \0", True),
        (b"RCPT TO:<x>\tNOTIFY=NEVER", True),
        (b"EHLO a\x1bb", True),
        (b"EHLO a\x7f", True),
    ],
)
def test_control_bytes_are_seen_anywhere_in_the_line(line: bytes, has_control: bool) -> None:
    parser = SmtpParser(64)
    parser.feed(line + b"\r\n")
    command = parser.next()
    assert isinstance(command, SmtpCommand)
    assert command.line == line
    assert command.has_control is has_control
