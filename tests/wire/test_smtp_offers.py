"""What SMTP backends list in reply to EHLO."""

from __future__ import annotations

from time import monotonic

import pytest

from mailworker.wire.smtp_offers import NO_OFFER, Offer, Offers

ADDR = frozenset((b"ADDR",))
BOTH = frozenset((b"ADDR", b"LOGIN"))
PLAIN = frozenset((b"PLAIN",))


@pytest.mark.parametrize(
    ("settings", "lists", "offer"),
    [
        ((None, True), (), NO_OFFER),
        ((None, True), (b"XCLIENT ADDR LOGIN", b"AUTH PLAIN"), Offer(BOTH, PLAIN, trusts=True)),
        ((None, True), (b"XCLIENT ADDR",), Offer(ADDR, frozenset())),
        ((None, True), (b"XCLIENT NAME",), Offer(frozenset((b"NAME",)), frozenset(), exposed=True)),
        ((None, False), (b"XCLIENT ADDR LOGIN",), Offer(BOTH, frozenset(), exposed=True)),
        ((ADDR, True), (b"XCLIENT ADDR LOGIN NAME",), Offer(ADDR, frozenset())),
        ((frozenset(), True), (b"XCLIENT ADDR",), Offer(frozenset(), frozenset(), exposed=True)),
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
