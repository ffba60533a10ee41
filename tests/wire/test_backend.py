"""Backend replies in every chunking, and login commands byte for byte."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party, ProtocolError
from mailworker.wire.backend import (
    IMAP_CONTINUATION,
    IMAP_GREETING,
    POP3_OK,
    ImapReplyReader,
    InvalidReply,
    Pop3ReplyReader,
    Reply,
    SmtpReplyReader,
    TooLongReply,
    imap_capabilities,
    imap_login,
    imap_ok,
    imap_tagged,
    login_responses,
    plain_response,
    pop3_login,
    smtp_auth_plain,
    smtp_code,
    smtp_line,
)
from mailworker.wire.secret import Secret
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
    assert reader.next() == Reply(b"* OK\r\n")
    assert reader.next() == Reply(b"a OK in\r\n")
    assert reader.rest() == b"* 3 EXISTS\r\n* 1 RE"
    assert reader.next() is None


TOO_LONG: dict[str, tuple[type[Reader], bytes]] = {
    "imap line": (IMAP, b"* OK " + b"x" * LIMIT),
    "imap untagged for ever": (IMAP, b"* OK\r\n" + b"* OK x\r\n" * LIMIT),
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


Check = Callable[[Reply], None]
GREETING, CONTINUATION, POSITIVE = IMAP_GREETING.expect, IMAP_CONTINUATION.expect, POP3_OK.expect
LOGIN = imap_ok(b"a.1").expect


def smtp(*codes: bytes) -> Check:
    return smtp_code(*codes).expect


@pytest.mark.parametrize(
    ("check", "data"),
    [
        (GREETING, b"* OK\r\n"),
        (GREETING, b"* OK IMAP4 ready\r\n"),
        (GREETING, b"* Ok IMAP4 ready\r\n"),
        (GREETING, b"* ok\r\n"),
        (CONTINUATION, b"+\r\n"),
        (CONTINUATION, b"+ OK\r\n"),
        (CONTINUATION, b"* OK [ALERT] x\r\n+ OK\r\n"),
        (LOGIN, b"a.1 OK\r\n"),
        (LOGIN, b"a.1 Ok in\r\n"),
        (LOGIN, b"* Capability X\r\na.1 ok\r\n"),
        (LOGIN, b"* CAPABILITY X\r\n* OK y\r\na.1 OK in\r\n"),
        (POSITIVE, b"+OK\r\n"),
        (POSITIVE, b"+OK in\r\n"),
        (POSITIVE, b"+Ok\r\n"),
        (POSITIVE, b"+ok in\r\n"),
        (smtp(b"220"), b"220 host\r\n"),
        (smtp(b"220", b"250"), b"250-a\r\n250 b\r\n"),
        (smtp(b"235"), b"235\r\n"),
    ],
)
def test_an_expected_reply_passes(check: Check, data: bytes) -> None:
    check(Reply(data))


@pytest.mark.parametrize(
    ("check", "data", "text"),
    [
        (GREETING, b"* PREAUTH in\r\n", "* PREAUTH in"),
        (GREETING, b"* BYE full\r\n", "* BYE full"),
        (GREETING, b"* bye\r\n", "* bye"),
        (GREETING, b"*\r\n", "*"),
        (GREETING, b"+OK\r\n", "+OK"),
        (GREETING, b"\r\n", ""),
        (CONTINUATION, b"a.1 BAD no\r\n", "a.1 BAD no"),
        (CONTINUATION, b"* OK x\r\n* BYE down\r\n", "* OK x\\x0D\\x0A* BYE down"),
        (LOGIN, b"a.1 NO bad password\r\n", "NO bad password"),
        (LOGIN, b"* OK x\r\na.1 BAD y\r\n", "BAD y"),
        (LOGIN, b"* OK x\r\n* BYE y\r\n", "* BYE y"),
        (LOGIN, b"a.12 OK\r\n", "a.12 OK"),
        (LOGIN, b"aX1 OK\r\n", "aX1 OK"),
        (LOGIN, b"A.1 OK\r\n", "A.1 OK"),
        (LOGIN, b"a.1 O\r\n", "O"),
        (LOGIN, b"a.1\r\n", "a.1"),
        (LOGIN, b"\r\n", ""),
        (LOGIN, b"+ a.1 OK\r\n", "+ a.1 OK"),
        (POSITIVE, b"-ERR \xff\r\n", "-ERR \\xFF"),
        (POSITIVE, b"+\r\n", "+"),
        (POSITIVE, b"+O\r\n", "+O"),
        (POSITIVE, b"\r\n", ""),
        (smtp(b"220"), b"421 4.3.2 later\r\n", "421 4.3.2 later"),
        (smtp(b"220", b"250"), b"550-a\r\n550 b\r\n", "550-a\\x0D\\x0A550 b"),
        (smtp(b"235"), b"\r\n", ""),
    ],
)
def test_another_reply_is_an_error_that_carries_it(check: Check, data: bytes, text: str) -> None:
    with pytest.raises(InvalidReply) as error:
        check(Reply(data))
    assert str(error.value) == f'upstream sent invalid response: "{text}"'
    assert error.value.party is Party.BACKEND
    assert error.value.reply.data == data


@pytest.mark.parametrize(
    ("login", "password", "commands"),
    [
        (b"user", b"secret", (b"a LOGIN {4}\r\n", b"user {6}\r\n", b"secret\r\n")),
        (b"", b"", (b"a LOGIN {0}\r\n", b" {0}\r\n", b"\r\n")),
        (b"u\r\nb NOOP", b"\xff\r\n", (b"a LOGIN {9}\r\n", b"u\r\nb NOOP {3}\r\n", b"\xff\r\n\r\n")),
    ],
)
def test_imap_login_is_three_pieces_with_counts(login: bytes, password: bytes, commands: tuple[bytes, ...]) -> None:
    assert imap_login(b"a", login, Secret(password)) == commands


def test_pop3_login_is_user_and_pass() -> None:
    assert pop3_login(b"a user", Secret(b" p w ")) == (b"USER a user\r\n", b"PASS  p w \r\n")


@pytest.mark.parametrize(("login", "password"), [(b"user", b"secret"), (b"", b""), (b"\xff\r\n", b"x" * 367)])
def test_auth_plain_is_one_line_of_base64(login: bytes, password: bytes) -> None:
    (command,) = smtp_auth_plain(login, Secret(password))
    assert len(command) <= 512
    assert command.startswith(b"AUTH PLAIN ")
    assert command.find(b"\n") == len(command) - 1
    assert b64decode(command[len(b"AUTH PLAIN ") : -2], validate=True) == b"\0" + login + b"\0" + password


@pytest.mark.parametrize("length", [367, 368, 2000, 9000, 9207])
def test_a_response_that_is_too_long_for_the_command_has_a_line_of_its_own(length: int) -> None:
    command, response = smtp_auth_plain(b"user", Secret(b"x" * length))
    assert command == b"AUTH PLAIN\r\n"
    assert len(response) <= 12288
    assert b64decode(response[:-2], validate=True) == b"\0user\0" + b"x" * length


@given(st.integers(0, 12000), st.integers(0, 300))
def test_no_line_of_auth_plain_is_longer_than_the_rfcs_allow(password: int, login: int) -> None:
    try:
        *command, last = smtp_auth_plain(b"u" * login, Secret(b"x" * password))
    except ProtocolError as error:
        assert error.party is Party.CLIENT
        assert (2 + login + password) * 4 / 3 > 12283
    else:
        assert len(last) <= (12288 if command else 512)


def test_a_line_of_the_client_is_sent_as_it_came() -> None:
    assert smtp_line(b"MAIL FROM:<a@b>  SIZE=1 \xff") == b"MAIL FROM:<a@b>  SIZE=1 \xff\r\n"


@pytest.mark.parametrize("forbidden", [b"\0", b"\r", b"\n", b"\r\nDELE 1"])
@pytest.mark.parametrize("place", ["login", "password"])
def test_pop3_takes_no_line_ends_and_no_nul(forbidden: bytes, place: str) -> None:
    login, password = (b"u" + forbidden, b"p") if place == "login" else (b"u", forbidden)
    with pytest.raises(ProtocolError) as error:
        pop3_login(login, Secret(password))
    assert error.value.party is Party.CLIENT


@pytest.mark.parametrize("login_and_password", [(b"u\0", b"secret"), (b"u", b"secret\0")])
def test_imap_and_auth_plain_take_no_nul_and_do_not_show_the_password(login_and_password: tuple[bytes, bytes]) -> None:
    login, password = login_and_password
    for build in (partial(imap_login, b"a"), smtp_auth_plain):
        with pytest.raises(ProtocolError) as error:
            build(login, Secret(password))
        assert error.value.party is Party.CLIENT
        assert "secret" not in str(error.value)


@pytest.mark.parametrize("line", [b"EHLO a\0", b"MAIL FROM:<a\rX@b>", b"RCPT TO:<a>\nQUIT"])
def test_a_line_that_holds_another_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        smtp_line(line)


PARTS = st.lists(st.sampled_from([b"* OK x", b"\r\n", b"\r", b"\n", b"a OK", b"+", b"250-", b"250 "]) | st.binary())


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


@pytest.mark.parametrize(
    ("data", "is_text"),
    [
        (b"-ERR no\r\n", True),
        (b"421-no\r\n421 no\r\n", True),
        (b"-ERR\tno\r\n", True),
        ("-ERR désolé\r\n".encode(), True),
        (b"-ERR d\xe9sol\xe9\r\n", True),
        (b"-ERR \x1b[31m\r\n", False),
        (b"-ERR \0\r\n", False),
        (b"-ERR \x7f\r\n", False),
        (b"-ERR a\rb\r\n", False),
        (b"-ERR a\nb\r\n", False),
        (b"-ERR a\r\r\n", False),
    ],
)
def test_control_bytes_are_no_text(data: bytes, is_text: bool) -> None:
    assert Reply(data).is_text is is_text


@pytest.mark.parametrize(
    ("data", "refuses", "for_now"),
    [
        (b"a1 NO no\r\n", True, False),
        (b"* 1 EXISTS\r\na1 no [AUTHENTICATIONFAILED] no\r\n", True, False),
        (b"a1 NO [UNAVAILABLE] later\r\n", True, True),
        (b"a1 NO [UNAVAILABLES] no\r\n", True, False),
        (b"* BYE later\r\n", True, True),
        (b"a1 BAD no\r\n", False, False),
        (b"a1 NOOP\r\n", False, False),
        (b"-ERR\r\n", True, False),
        (b"-ERR [AUTH] no\r\n", True, False),
        (b"-err [sys/temp] later\r\n", True, True),
        (b"-ERR [SYS/PERM] no\r\n", True, False),
        (b"-ERROR\r\n", False, False),
        (b"550-no\r\n550 no\r\n", True, False),
        (b"421\r\n", True, True),
        (b"4210 later\r\n", False, False),
        (b"250 yes\r\n", False, False),
        (b"+OK\r\n", False, False),
        (b"\r\n", False, False),
    ],
)
def test_a_refusal_is_known_by_its_protocol_s_words(data: bytes, refuses: bool, for_now: bool) -> None:
    reply = Reply(data)
    assert (reply.refuses, reply.refuses_for_now) == (refuses, for_now)
    assert reply.is_quotable is (refuses or data == b"a1 BAD no\r\n")


@pytest.mark.parametrize("line", [b"a OK x", b"a NO x", b"a BAD x", b"* ID NIL\r\na OK x"])
def test_a_tagged_line_ends_a_command_whatever_it_says(line: bytes) -> None:
    imap_tagged(b"a").expect(Reply(line + b"\r\n"))


@pytest.mark.parametrize("line", [b"+ x", b"* BYE x", b"b OK x", b"aOK", b"", b"a"])
def test_any_other_line_does_not(line: bytes) -> None:
    with pytest.raises(InvalidReply):
        imap_tagged(b"a").expect(Reply(line + b"\r\n"))


@pytest.mark.parametrize(
    ("reply", "listed"),
    [
        (b"* OK [CAPABILITY IMAP4rev1 id] hello\r\n", {b"IMAP4REV1", b"ID"}),
        (b"* ok [capability ID]\r\n", {b"ID"}),
        (b"* CAPABILITY IMAP4rev1 ID\r\na OK done\r\n", {b"IMAP4REV1", b"ID"}),
        (b"* OK x\r\n* capability ID\r\na OK done\r\n", {b"ID"}),
        (b"* OK hello\r\n", None),
        (b"* OK [ALERT] CAPABILITY ID\r\n", None),
        (b"* PREAUTH [CAPABILITY ID]\r\n", None),
        (b"a OK [CAPABILITY ID] done\r\n", None),
        (b"* CAPABILITIES ID\r\na OK\r\n", None),
        (b"", None),
    ],
)
def test_what_an_imap_backend_lists(reply: bytes, listed: set[bytes] | None) -> None:
    assert imap_capabilities(reply) == listed


def test_a_master_stands_between_the_login_and_the_password() -> None:
    assert b64decode(plain_response(b"user", Secret(b"p"), b"boss")) == b"user\0boss\0p"
    assert b64decode(plain_response(b"user", Secret(b"p"))) == b"\0user\0p"


_WITHOUT_NUL = st.binary(max_size=300).map(lambda text: text.replace(b"\0", b""))


@given(_WITHOUT_NUL, _WITHOUT_NUL)
def test_the_responses_of_login_hold_any_bytes_but_nul(login: bytes, password: bytes) -> None:
    responses = login_responses(login, Secret(password))
    assert [b64decode(response) for response in responses] == [login, password]
    assert all(response.find(b"\r\n") == len(response) - 2 for response in responses)


@pytest.mark.parametrize(
    ("login", "password"), [(b"x" * 9300, b""), (b"", b"x" * 9300), (b"admin\0x", b"p"), (b"u", b"p\0x")]
)
def test_what_no_line_may_hold_is_refused_for_login_too(login: bytes, password: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        login_responses(login, Secret(password))
    assert caught.value.party is Party.CLIENT
