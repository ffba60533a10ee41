"""What SMTP backends list is remembered, in bounds."""

from __future__ import annotations

from mailworker.wire.smtp_offers import Offers


def test_replies_are_remembered_in_bounds() -> None:
    offers = Offers()
    for number in range(2000):
        for _ in range(2):
            offer = offers.hear(f"backend {number}", b"250 backend %d\r\n" % number)
        assert offers.first[f"backend {number}"] is offer
        assert len(offer.known.last) <= 256
    assert len(offers.first) <= 1000
    assert not offers.again


def test_what_never_comes_twice_is_never_foreseen() -> None:
    offers = Offers()
    for number in range(100):
        offers.hear("backend", b"250-backend at %d\r\n250 XCLIENT ADDR\r\n" % number)
        assert not offers.first
    long = b"250-" + b"x" * 1024 + b"\r\n250 XCLIENT ADDR\r\n"
    for _ in range(3):
        assert offers.hear("backend", long).listed == frozenset({b"ADDR"})
        assert not offers.first
