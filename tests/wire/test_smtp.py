"""What only SMTP's commands have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.wire.smtp import SmtpCommand, SmtpParser, SmtpVerb
from tests.wire.corpus import Invalid, run

NOOP = SmtpCommand(SmtpVerb.NOOP, (), b"NOOP")


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


OCTETS = st.lists(st.sampled_from([b"RSET\r\n", b"MAIL FROM:<a@b>\r\n", b"BDAT 9 LAST\r\n"]) | st.binary()).map(
    b"".join
)


@given(OCTETS, st.sampled_from([b"", b" LAST", b" last "]), st.integers(0, 99))
def test_octets_of_a_chunk_are_no_commands(octets: bytes, last: bytes, cut: int) -> None:
    data = b"BDAT %d%b\r\n%bNOOP\r\n" % (len(octets), last, octets)
    assert run(SmtpParser(4096), [data[:cut], data[cut:]]) == [Invalid(), NOOP]


@given(st.integers(0) | st.integers(4000, 4200), st.binary(max_size=40))
def test_a_chunk_of_any_count_is_dropped_or_closes(count: int, octets: bytes) -> None:
    first, *others = run(SmtpParser(4096), [b"BDAT %d\r\n" % count, octets])
    assert first == Invalid(close=count > 4096)
    if len(octets) <= count <= 4096:
        assert others == []


def test_octets_that_have_yet_to_come_are_forgotten_with_all_that_was_said_in_clear() -> None:
    parser = SmtpParser(64)
    assert run(parser, [b"BDAT 20\r\nx"]) == [Invalid()]
    parser.discard()
    assert run(parser, [b"NOOP\r\n"]) == [NOOP]
