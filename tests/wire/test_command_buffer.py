from __future__ import annotations

import pytest

from mailworker.wire.command_buffer import CommandBuffer


def test_lines_are_taken_whole_and_in_order() -> None:
    buffer = CommandBuffer(16)
    buffer.feed(b"a\r\nb\nc")
    assert [buffer.line(), buffer.line(), buffer.line()] == [b"a\r\n", b"b\n", None]
    buffer.feed(b"\n")
    assert buffer.line() == b"c\n"


def test_what_is_taken_keeps_its_room_until_it_is_released() -> None:
    buffer = CommandBuffer(8)
    buffer.feed(b"abc\ndef")
    assert buffer.line() == b"abc\n"
    assert (buffer.room, buffer.remaining, buffer.content) == (1, 4, b"abc\ndef")
    buffer.release()
    assert (buffer.room, buffer.remaining, buffer.content) == (5, 8, b"def")


def test_a_literal_holds_any_bytes_and_exactly_as_many_as_were_told() -> None:
    buffer = CommandBuffer(16)
    buffer.feed(b"{4}\n\n\0")
    assert buffer.line() == b"{4}\n"
    assert buffer.literal(4) is None
    buffer.feed(b"\r\nx\n")
    assert buffer.literal(4) == b"\n\0\r\n"
    assert buffer.line() == b"x\n"


def test_what_is_swallowed_may_come_later() -> None:
    buffer = CommandBuffer(8)
    buffer.feed(b"1234")
    assert buffer.swallow(6) == 2
    assert buffer.content == b""
    buffer.feed(b"56QUIT\n")
    assert buffer.swallow(2) == 0
    assert buffer.line() == b"QUIT\n"


def test_a_full_buffer_without_a_line_has_no_room_and_takes_no_more() -> None:
    buffer = CommandBuffer(4)
    buffer.feed(b"xxxx")
    assert (buffer.line(), buffer.room) == (None, 0)
    with pytest.raises(ValueError, match="1 bytes fed into room for 0"):
        buffer.feed(b"\n")
    buffer.clear()
    assert (buffer.room, buffer.content) == (4, b"")
