"""Backend replies in every chunking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party
from mailworker.wire.backend import ImapReply, TooLongReply
from mailworker.wire.reply_reader import ImapReplyReader, Pop3ReplyReader, SmtpReplyReader
from tests.wire.chunkings import chunkings

Reader = ImapReplyReader | Pop3ReplyReader | SmtpReplyReader
IMAP, POP3, SMTP = ImapReplyReader, Pop3ReplyReader, SmtpReplyReader
LIMIT = 200

REPLIES: dict[str, tuple[type[Reader], list[bytes], bytes]] = {
    "imap login": (IMAP, [b"* OK ready\r\n", b"+ go\r\n", b"+ \r\n", b"a OK in\r\n"], b""),
    "imap untagged lines": (IMAP, [b"* OK\r\n", b"* CAPABILITY A\r\n* OK [ALERT] x\r\na OK\r\n"], b"* 1 EXI"),
    "imap untagged before +": (IMAP, [b"* OK\r\n", b"* OK [ALERT] x\r\n+ \r\n"], b""),
    "imap incomplete untagged": (IMAP, [b"* OK\r\n"], b"* CAPABILITY A\r\na O"),
    "imap BYE as greeting": (IMAP, [b"* BYE full\r\n"], b""),
    "imap BYE later": (IMAP, [b"* OK\r\n", b"* OK x\r\n* bye down\r\n"], b""),
    "imap BYELAW is no BYE": (IMAP, [b"* OK\r\n", b"* BYELAW\r\na OK\r\n"], b""),
    "imap literal": (IMAP, [b"* OK\r\n", b'* ID ("name" {8}\r\na OK in\r\n)\r\na OK\r\n'], b"* ID {1}\r\n"),
    "imap literals": (IMAP, [b"* OK\r\n", b"* X {0}\r\n ~{7}\r\n* BYE\r\n{2}\r\n}\n\r\na OK\r\n"], b"* X {3}\r\n\r\n"),
    "imap text is no literal": (IMAP, [b"* OK {5}\r\n", b"* OK {9}\r\n* no {9}\r\na OK {9}\r\n", b"+ {9}\r\n"], b"a"),
    "imap 8-bit and NUL": (IMAP, [b"* OK \xff\0\r\n", b"a NO \xff\0\n\r\n"], b""),
    "pop3 login": (POP3, [b"+OK ready <1@h>\r\n", b"+OK\r\n", b"+OK in\r\n"], b"+OK 2"),
    "imap short lines": (IMAP, [b"* OK\r\n", b"+\r\n", b"*\r\n", b"\r\n", b"a\r\n", b"* \r\na b\r\n"], b"\r"),
    "pop3 short lines": (POP3, [b"\r\n", b"+\r\n", b"-ERR\r\n"], b"+"),
    "pop3 bare LF is text": (POP3, [b"+OK a\nb\r\n"], b"+OK\n"),
    "pop3 bare CR is text": (POP3, [b"+OK a\rb\r\r\n"], b"\r"),
    "smtp greeting": (SMTP, [b"220 host ESMTP\r\n"], b""),
    "smtp many lines": (SMTP, [b"250-a\r\n250-b\r\n250 c\r\n", b"235 ok\r\n"], b"250-x\r\n"),
    "smtp code alone": (SMTP, [b"250-a\r\n250\r\n"], b""),
    "smtp short lines": (SMTP, [b"\r\n", b"25\r\n", b"abc\r\n", b"2\r\n", b"250-\r\n\r\n"], b"250-\r\n"),
    "smtp greeting of lines": (SMTP, [b"220-a\r\n220 b\r\n", b"421 bye\r\n"], b""),
}


def read(reader: Reader, chunks: list[bytes]) -> list[bytes]:
    replies = []
    for chunk in chunks:
        reader.feed(chunk)
        while (reply := reader.next()) is not None:
            replies.append(reply.data)
    return replies


@pytest.mark.parametrize(("kind", "replies", "rest"), REPLIES.values(), ids=REPLIES)
def test_replies_are_the_same_in_every_chunking(kind: type[Reader], replies: list[bytes], rest: bytes) -> None:
    for chunks in chunkings(b"".join(replies) + rest):
        reader = kind(LIMIT)
        assert read(reader, chunks) == replies
        assert reader.rest() == rest
        assert reader.rest() == b""


def test_bytes_behind_a_reply_are_for_the_client() -> None:
    reader = ImapReplyReader(LIMIT)
    reader.feed(b"* OK\r\na OK in\r\n* 3 EXISTS\r\n* 1 RE")
    assert reader.next() == ImapReply(b"* OK\r\n")
    assert reader.next() == ImapReply(b"a OK in\r\n")
    assert reader.rest() == b"* 3 EXISTS\r\n* 1 RE"
    assert reader.next() is None


TOO_LONG: dict[str, tuple[type[Reader], bytes]] = {
    "imap line": (IMAP, b"* OK " + b"x" * LIMIT),
    "imap untagged for ever": (IMAP, b"* OK\r\n" + b"* OK x\r\n" * LIMIT),
    "imap literal that fits": (IMAP, b"* OK\r\n* X {180}\r\n" + b"x" * 180 + b"\r\n" + b"x" * LIMIT),
    "pop3 line": (POP3, b"+OK " + b"x" * LIMIT + b"\r\n"),
    "pop3 CRLF over the limit": (POP3, b"x" * (LIMIT - 1) + b"\r\n"),
    "smtp line": (SMTP, b"220 " + b"x" * LIMIT),
    "smtp lines for ever": (SMTP, b"250-x\r\n" * LIMIT),
}


@pytest.mark.parametrize(("kind", "data"), TOO_LONG.values(), ids=TOO_LONG)
def test_a_reply_over_the_limit_is_refused_in_every_chunking(kind: type[Reader], data: bytes) -> None:
    texts = set()
    for chunks in chunkings(data):
        with pytest.raises(TooLongReply, match="upstream sent too long response line") as error:
            read(kind(LIMIT), chunks)
        assert error.value.party is Party.BACKEND
        texts.add(error.value.text)
    assert len(texts) == 1
    assert len(texts.pop()) == LIMIT


@pytest.mark.parametrize("kind", [IMAP, POP3, SMTP])
def test_a_reply_of_the_limit_is_taken_with_more_behind_it(kind: type[Reader]) -> None:
    line = b"x" * (LIMIT - 2) + b"\r\n"
    for chunks in ([line, line], [line + line], [line[:-1], line[-1:] + line]):
        assert read(kind(LIMIT), chunks) == [line, line]


@pytest.mark.parametrize("length", [b"189", b"9999999999"])
def test_a_literal_that_does_not_fit_is_refused_at_once_in_every_chunking(length: bytes) -> None:
    announcing = b"* X {%b}\r\n" % length
    for chunks in chunkings(b"* OK\r\n" + announcing + b"x"):
        with pytest.raises(TooLongReply) as error:
            read(ImapReplyReader(LIMIT), chunks)
        assert error.value.text == announcing


PARTS = st.lists(
    st.sampled_from([b"* X {1}\r\n", b"{9}\r\n", b"* OK x", b"\r\n", b"\r", b"\n", b"a OK", b"+", b"250-", b"250 "])
    | st.binary()
)


def outcome(kind: type[Reader], chunks: list[bytes]) -> tuple[list[bytes], bytes] | bytes:
    reader = kind(64)
    try:
        return read(reader, chunks), reader.rest()
    except TooLongReply as error:
        return error.text


@pytest.mark.parametrize("kind", [IMAP, POP3, SMTP])
@given(PARTS, st.integers(0, 200))
def test_any_bytes_are_replies_or_too_long_and_none_is_lost(kind: type[Reader], parts: list[bytes], cut: int) -> None:
    data = b"".join(parts)
    whole = outcome(kind, [data])
    assert (
        whole == outcome(kind, [data[:cut], data[cut:]]) == outcome(kind, [data[i : i + 1] for i in range(len(data))])
    )
    if isinstance(whole, tuple):
        assert b"".join(whole[0]) + whole[1] == data
