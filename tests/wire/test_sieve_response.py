"""What a ManageSieve server says, in every form that it may have."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.wire.backend import InvalidReply, LoginRejected, Reply, TooLongReply
from mailworker.wire.refusal import Reason, Refusal
from mailworker.wire.sieve_response import (
    LoginOffer,
    SieveReply,
    SieveReplyReader,
    capabilities,
    challenge,
    expect_list,
    expect_login,
    expect_ok,
    login_offer,
    parse,
    refusal,
)
from tests.wire.corpus import every_chunking

LISTS = {
    "Dovecot": b'"IMPLEMENTATION" "Dovecot Pigeonhole"\r\n"SIEVE" "fileinto"\r\n"SASL" "PLAIN LOGIN"\r\n"STARTTLS"\r\n'
    b'"VERSION" "1.0"\r\nOK "Dovecot ready."\r\n',
    "Cyrus": b'"IMPLEMENTATION" "Cyrus timsieved"\r\n"SASL" "PLAIN LOGIN"\r\n"SIEVE" "x"\r\n"STARTTLS"\r\nOK\r\n',
    "literals": b"{14}\r\nIMPLEMENTATION {3}\r\na\r\n\r\n"
    b'"SASL" {11}\r\nPLAIN LOGIN\r\n"STARTTLS"\r\nOK {9}\r\nx\r\nOK\r\nyz\r\n',
    "small letters": b'"sasl" "PLAIN LOGIN"\r\n"starttls"\r\nok (TAG "a)b" (c {3}\r\n)\r\n)) "ready"\r\n',
}
REPLIES = [
    b"OK\r\n",
    b'NO "no"\r\n',
    b"OK {7}\r\nin\r\nOK!\r\n",
    b'OK (TAG {4}\r\na)\r\n) "x"\r\n',
    b'BYE (REFERRAL "sieve://h") "x"\r\n',
    b'""\r\n',
    b'"abc="\r\n',
    b"{4}\r\nabc=\r\n",
    b"{0}\r\n",
    b"x\r\n",
]


def read(pieces: Iterable[bytes], limit: int = 4096) -> tuple[list[bytes], bytes]:
    reader, replies = SieveReplyReader(limit), []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next()) is not None:
            replies.append(reply.data)
    return replies, reader.rest()


@pytest.mark.parametrize("greeting", LISTS.values(), ids=LISTS)
def test_a_greeting_is_a_list_up_to_its_ok_however_it_is_cut(greeting: bytes) -> None:
    for pieces in every_chunking(greeting + b'OK "in"\r\nrest'):
        assert read(pieces) == ([greeting, b'OK "in"\r\n', b"rest"][:2], b"rest")
    listed = capabilities(Reply(greeting))
    assert listed[b"SASL"] == b"PLAIN LOGIN"
    assert listed[b"STARTTLS"] == b""
    expect_list(Reply(greeting))


@pytest.mark.parametrize(
    ("greeting", "offer", "obstacle"),
    [
        (LISTS["Dovecot"], LoginOffer(frozenset((b"PLAIN", b"LOGIN")), starttls=True), None),
        (b'"sasl" "plain"\r\nOK\r\n', LoginOffer(frozenset((b"PLAIN",)), starttls=False), None),
        (b"OK\r\n", LoginOffer(None, starttls=False), None),
        (b'"SASL" ""\r\nOK\r\n', LoginOffer(frozenset(), starttls=False), "upstream does not offer AUTHENTICATE PLAIN"),
        (b'"STARTTLS"\r\nOK\r\n', LoginOffer(None, starttls=True), "upstream offers no login before STARTTLS"),
    ],
)
def test_a_greeting_tells_whether_a_password_may_be_sent(
    greeting: bytes, offer: LoginOffer, obstacle: str | None
) -> None:
    assert login_offer(greeting) == offer
    assert offer.obstacle(b"PLAIN") == obstacle


@pytest.mark.parametrize("greeting", [b"NO\r\n", b'BYE "later"\r\n', b'"SASL" "PLAIN"\r\n', b"* OK IMAP\r\n", b""])
def test_what_is_no_greeting_offers_nothing(greeting: bytes) -> None:
    with pytest.raises(InvalidReply):
        login_offer(greeting)


def test_all_replies_end_where_they_end_however_they_are_cut() -> None:
    said = LISTS["Cyrus"] + b"".join(REPLIES)
    for pieces in every_chunking(said):
        assert read(pieces) == ([LISTS["Cyrus"], *REPLIES], b"")


def test_an_empty_challenge_may_be_without_the_end_of_its_line_or_with_it() -> None:
    for pieces in every_chunking(LISTS["Cyrus"] + b"{0}\r\n\r\nOK\r\n{0}\r\nNO\r\n"):
        assert read(pieces) == ([LISTS["Cyrus"], b"{0}\r\n", b"OK\r\n", b"{0}\r\n", b"NO\r\n"], b"")


@pytest.mark.parametrize(
    "said", [b"x" * 64, b'"SIEVE" {64}\r\n', b'"SIEVE" {9999999999}\r\n', b'"a"\r\n' * 20, b"OK {60}\r\n"]
)
def test_what_fits_no_buffer_is_an_error_at_once(said: bytes) -> None:
    with pytest.raises(TooLongReply):
        read([said], 64)


def test_in_tls_there_is_a_list_again() -> None:
    reader = SieveReplyReader(4096)
    reader.feed(b"OK\r\nOK\r\n")
    assert reader.next() and reader.next()
    assert not reader.renew()
    reader.feed(LISTS["Cyrus"])
    reply = reader.next()
    assert reply is not None and reply.data == LISTS["Cyrus"]


CHALLENGES = {b'""\r\n': b"", b'"eA=="\r\n': b"eA==", b"{4}\r\neA==\r\n": b"eA==", b"{0}\r\n": b"", b"OK\r\n": None}


@pytest.mark.parametrize(("data", "value"), CHALLENGES.items())
def test_a_challenge_is_a_string_alone(data: bytes, value: bytes | None) -> None:
    assert challenge(Reply(data)) == value


@pytest.mark.parametrize(
    "data", [b'"x"\r\nNO "down"\r\n', b'BYE "down"\r\n', b"* OK x\r\n", b'"x" y\r\nOK\r\n', b"220 x\r\n"]
)
def test_what_is_no_greeting(data: bytes) -> None:
    with pytest.raises(InvalidReply):
        expect_list(Reply(data))


@pytest.mark.parametrize("data", [b"NO\r\n", b"OKAY\r\n", b"+OK\r\n", b'"x"\r\n', b"\r\n"])
def test_what_is_no_ok(data: bytes) -> None:
    with pytest.raises(InvalidReply):
        expect_ok(Reply(data))
    with pytest.raises(LoginRejected):
        expect_login(Reply(data))


def test_an_ok_that_sends_the_client_elsewhere_is_none() -> None:
    with pytest.raises(LoginRejected):
        expect_login(Reply(b'OK (referral "sieve://elsewhere") "in"\r\n'))
    expect_login(Reply(b"ok\r\n"))


TEMPORARY, LOGIN, MISCONFIGURED = Refusal(Reason.TEMPORARY), Refusal(Reason.LOGIN), Refusal(Reason.MISCONFIGURED)
REFUSALS = [
    (b"NO\r\n", LOGIN),
    (b'NO "wrong"\r\n', LOGIN),
    (b'no (AuthFailed) "wrong"\r\n', LOGIN),
    (b'NO (TRYLATER) "later"\r\n', Refusal(Reason.OTHER, b"(TRYLATER) later")),
    (b'NO (trylater/noretry) "a)b"\r\n', Refusal(Reason.OTHER, b"(TRYLATER/NORETRY) a)b")),
    (b'NO (LIMIT/CONNECTIONS) "many"\r\n', Refusal(Reason.OTHER, b"(LIMIT/CONNECTIONS) many")),
    (b'NO (X "a)b" {3}\r\n))) (y (z))) {5}\r\na\r\n b\r\n', Refusal(Reason.OTHER, b"(X) a b")),
    (b'NO (TRANSITION-NEEDED) "x"\r\n', Refusal(Reason.OTHER, b"(TRANSITION-NEEDED) x")),
    (b'BYE (TRANSITION-NEEDED) "x"\r\n', Refusal(Reason.OTHER, b"(TRANSITION-NEEDED) x")),
    (b'NO (ENCRYPT-NEEDED) "x"\r\n', MISCONFIGURED),
    (b'BYE (AUTH-TOO-WEAK) "x"\r\n', MISCONFIGURED),
    (b'NO (REFERRAL "sieve://h") "x"\r\n', TEMPORARY),
    (b'BYE (REFERRAL "sieve://h") "x"\r\n', TEMPORARY),
    (b"BYE\r\n", TEMPORARY),
    (b'BYE "down"\r\n', TEMPORARY),
    (b"OK\r\n", TEMPORARY),
    (b"* BAD\r\n", TEMPORARY),
]


@pytest.mark.parametrize(("data", "expected"), REFUSALS)
def test_why_a_client_is_not_let_in(data: bytes, expected: Refusal) -> None:
    assert refusal(Reply(data)) == expected


@pytest.mark.parametrize(
    ("data", "refuses", "for_now"),
    [
        (b"NO\r\n", True, False),
        (b'no (AUTHENTICATIONFAILED) "no"\r\n', True, False),
        (b'NO (TRYLATER) "later"\r\n', True, True),
        (b"NO (TRYLATER/NORETRY) {5}\r\nOK no\r\n", True, True),
        (b'NO (LIMIT/CONNECTIONS) "many"\r\n', True, True),
        (b'NO (QUOTA/MAXSIZE) "full"\r\n', True, False),
        (b'BYE "busy"\r\n', True, True),
        (b'"SASL" "PLAIN"\r\nBYE\r\n', True, True),
        (b'BYE (TRANSITION-NEEDED) "say it once by PLAIN"\r\n', True, False),
        (b'OK (TRYLATER) "in"\r\n', False, False),
        (b'"NO"\r\n', False, False),
        (b"NOT\r\n", False, False),
    ],
)
def test_a_refusal_may_be_temporary(data: bytes, refuses: bool, for_now: bool) -> None:
    reply = SieveReply(data)
    assert (reply.refuses, reply.refuses_for_now) == (refuses, for_now)


def test_parentheses_may_be_nested_without_end() -> None:
    deep = b"NO (" + b"(" * 1000 + b"x" + b")" * 1000 + b') "text"\r\n'
    assert refusal(Reply(deep)) == LOGIN  # it has no name
    response = parse(Reply(b"NO (X " + b"(" * 1000 + b")" * 1000 + b') "text"\r\n'))
    assert response is not None and response.text == b"text"
    parse(Reply(b"NO (X " + b"(" * 1000 + b"\r\n"))


@given(
    st.lists(
        st.sampled_from([*REPLIES, b"(", b")", b'"', b"{", b"}", b"OK (X ", b"\r\n", b"\\"]) | st.binary(), max_size=9
    )
)
def test_any_bytes_are_read_the_same_whole_and_in_pieces(pieces: list[bytes]) -> None:
    def outcome(cut: Iterable[bytes]) -> object:
        try:
            return read(cut, 128)
        except TooLongReply:
            return None

    said = b"".join(pieces)
    whole = outcome([said])
    assert whole == outcome(pieces) or None in (whole, outcome(pieces))
    for each in (parse, capabilities, challenge, refusal):
        each(Reply(said))
