"""The forms of backend replies, and login commands byte for byte."""

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
    ImapReply,
    InvalidReply,
    Reply,
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
    ("kind", "data", "refuses", "for_now"),
    [
        (ImapReply, b"a1 NO no\r\n", True, False),
        (ImapReply, b"* 1 EXISTS\r\na1 no [AUTHENTICATIONFAILED] no\r\n", True, False),
        (ImapReply, b"a1 NO [UNAVAILABLE] later\r\n", True, True),
        (ImapReply, b"a1 NO [UNAVAILABLES] no\r\n", True, False),
        (ImapReply, b"* BYE later\r\n", True, True),
        (ImapReply, b"a1 BAD no\r\n", False, False),
        (ImapReply, b"a1 NOOP\r\n", False, False),
        (Reply, b"-ERR\r\n", True, False),
        (Reply, b"-ERR [AUTH] no\r\n", True, False),
        (Reply, b"-err [sys/temp] later\r\n", True, True),
        (Reply, b"-ERR [SYS/PERM] no\r\n", True, False),
        (Reply, b"-ERROR\r\n", False, False),
        (ImapReply, b"550-no\r\n550 no\r\n", True, False),
        (Reply, b"421\r\n", True, True),
        (Reply, b"4210 later\r\n", False, False),
        (Reply, b"250 yes\r\n", False, False),
        (Reply, b"+OK\r\n", False, False),
        (Reply, b"\r\n", False, False),
        (ImapReply, b"450 OK in\r\n", False, False),
        (ImapReply, b"-ERR OK in\r\n", False, False),
        (ImapReply, b"450 NO [LIMIT] later\r\n", True, True),
        (ImapReply, b"550 NO no\r\n", True, False),
    ],
)
def test_a_refusal_is_known_by_its_protocol_s_words(
    kind: type[Reply], data: bytes, refuses: bool, for_now: bool
) -> None:
    reply = kind(data)
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
