"""What SMTP backends list in reply to EHLO."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest

from mailworker.wire.remembered import MOST
from mailworker.wire.smtp_offers import FRESH, NO_OFFER, Offer, Offers

ADDR = frozenset((b"ADDR",))
BOTH = frozenset((b"ADDR", b"LOGIN"))
PLAIN = frozenset((b"PLAIN",))


@pytest.mark.parametrize(
    ("settings", "lists", "offer"),
    [
        ((None, True), (), NO_OFFER),
        ((ADDR, True), (), NO_OFFER),
        ((None, True), (b"XCLIENT ADDR LOGIN", b"AUTH PLAIN"), Offer(BOTH, PLAIN, trusts=True)),
        ((None, True), (b"XCLIENT ADDR",), Offer(ADDR, frozenset())),
        ((None, True), (b"XCLIENT NAME",), Offer(frozenset((b"NAME",)), frozenset(), exposed=True)),
        ((None, False), (b"XCLIENT ADDR LOGIN",), Offer(BOTH, frozenset(), exposed=True)),
        ((ADDR, True), (b"XCLIENT ADDR LOGIN NAME",), Offer(ADDR, frozenset())),
        ((frozenset(), True), (b"XCLIENT ADDR",), Offer(frozenset(), frozenset(), exposed=True)),
        ((None, True), (b"STARTTLS",), Offer(None, frozenset(), tls_first=True)),
        ((None, True), (b"starttls ", b"XCLIENT ADDR"), Offer(ADDR, frozenset(), tls_first=True)),
        ((None, True), (b"STARTTLS", b"AUTH PLAIN"), Offer(None, PLAIN)),
        ((None, True), (b"XSTARTTLS", b"X STARTTLS", b"STARTTLSX"), NO_OFFER),
    ],
)
def test_what_a_reply_lists_counts_as_far_as_the_server_sends_it(
    settings: tuple[frozenset[bytes] | None, bool], lists: tuple[bytes, ...], offer: Offer
) -> None:
    fields, sends = settings
    offers = Offers(monotonic, fields, sends=sends)
    reply = b"".join(b"250-%b\r\n" % line for line in (b"backend", *lists)) + b"250 HELP\r\n"
    for repeated in (False, True, True):
        assert offers.read(reply) == offers.hear("backend", reply) == offer
        assert ("backend" in offers.first.expected) == repeated
    assert not offers.again.expected


def test_replies_to_the_first_ehlo_and_to_the_next_one_are_told_apart() -> None:
    offers = Offers(monotonic)
    for _ in range(2):
        offers.hear("backend", b"250-backend\r\n250 AUTH PLAIN\r\n", again=True)
    assert not offers.first.expected
    assert offers.again.expected["backend"].allows.mechanisms == PLAIN


def test_a_long_reply_is_read_each_time() -> None:
    offers = Offers(monotonic)
    long = b"250-" + b"x" * 1024 + b"\r\n250 XCLIENT ADDR\r\n"
    for _ in range(3):
        assert offers.hear("backend", long).listed == ADDR
        assert not offers.first.expected


GREETING, LISTING = b"220 backend\r\n", b"250-backend\r\n250 XCLIENT ADDR LOGIN\r\n"


def met(clock: Callable[[], float] = monotonic, times: int = 2) -> Offers:
    """The memory of a backend that has been met so often."""
    offers = Offers(clock)
    for _ in range(times):
        offers.meet("backend", GREETING, LISTING)
    return offers


def test_xclient_goes_at_once_while_the_offer_is_fresh() -> None:
    now = [0.0]
    offers = met(lambda: now[0], times=1)
    assert offers.welcome("backend") is None
    assert offers.unsettled == {"backend"}
    offer = offers.meet("backend", GREETING, LISTING)
    assert not offers.unsettled
    for time, fresh in ((0.0, True), (FRESH - 1, True), (FRESH, False)):
        now[0] = time
        welcome = offers.welcome("backend")
        assert (welcome is not None) == fresh
        assert welcome is None or (welcome.greeting[1].last, welcome.listed) == ({GREETING}, BOTH)
    offers.ask("backend", offer)
    assert offers.welcome("backend") is not None


@pytest.mark.parametrize(
    "listing", [b"250 backend\r\n", b"250-backend\r\n250 XCLIENT ADDR\r\n", b"250-b\r\n250 XCLIENT ADDR LOGIN NAME\r\n"]
)
def test_another_offer_ends_what_was_expected(listing: bytes) -> None:
    by_greeting, without = met(), met()
    by_greeting.meet("backend", GREETING, listing)
    without.hear_only("backend", listing)
    assert by_greeting.welcome("backend") is None
    assert without.welcome("backend") is None


def test_the_same_offer_ends_nothing() -> None:
    offers = met()
    offers.hear_only("backend", LISTING)
    assert offers.welcome("backend") is not None


@pytest.mark.parametrize("listing", [b"250 backend\r\n", b"250-backend\r\n250 XCLIENT ADDR\r\n"])
def test_xclient_never_goes_at_once_to_a_backend_that_lists_too_little(listing: bytes) -> None:
    offers = met(times=1)
    for _ in range(3):
        offers.meet("backend", GREETING, listing)
        assert offers.welcome("backend") is None
        assert not offers.unsettled


def test_a_backend_that_never_says_the_same_is_waited_for_every_other_time() -> None:
    offers = Offers(monotonic)
    for number in range(4):
        offers.meet("backend", b"220 backend %d\r\n" % number, LISTING)
        assert offers.unsettled == ({"backend"} if number % 2 == 0 else set())


def test_backends_are_remembered_in_bounds() -> None:
    offers = met()
    offers.forget("another")
    assert offers.welcome("backend") is not None
    offer = offers.read(LISTING)
    offers.ask("another", offer)
    assert offers.welcome("backend") is not None
    for number in range(MOST):
        offers.ask(f"backend {number}", offer)
        offers.forget(f"backend {number}")
    assert offers.welcome("backend") is None
    assert len(offers.unsettled) == MOST


def test_a_refusal_is_forgotten_unless_it_is_of_xclient_before_ehlo() -> None:
    offers = met()
    offers.forget("backend")
    assert offers.welcome("backend") is None
    assert offers.unsettled == {"backend"}
    offers.meet("backend", GREETING, LISTING)
    assert offers.welcome("backend") is not None
    offers.insist("backend")
    for _ in range(3):
        offers.meet("backend", GREETING, LISTING)
        assert offers.welcome("backend") is None
