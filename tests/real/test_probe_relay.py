"""A Postfix that refuses strangers, one that trusts this machine, and one that trusts whom XCLIENT names."""

from __future__ import annotations

import pytest

from mailworker.mail.probe import Envelope, Verdict
from mailworker.model import InetAddress
from tests.mail.probing import findings
from tests.support.daemon import wait_until
from tests.support.postfix import Postfix

OUTSIDE = Envelope(recipient="probe@elsewhere.example")


@pytest.mark.parametrize("service", ["smtp", "submission"])
def test_a_postfix_that_wants_a_login_refuses_the_proxy_and_whom_it_claims(postfix: Postfix, service: str) -> None:
    found = findings(InetAddress(*getattr(postfix, service)), OUTSIDE)
    assert [finding.how for finding in found] == ["as the proxy", "by XCLIENT ADDR=192.0.2.1"]
    assert {finding.verdict for finding in found} == {Verdict.REFUSES}


def test_a_postfix_that_trusts_the_proxys_address_is_found_out(postfix: Postfix) -> None:
    plain, claimed = findings(InetAddress(*postfix.trusting), OUTSIDE)
    assert plain.verdict is Verdict.RELAYS
    assert claimed.verdict is Verdict.REFUSES
    # Postfix makes a file of a message at the first RCPT, and removes it some time after the client's RSET. A message
    # that was sent would stay, as this Postfix has no way to other domains.
    wait_until(postfix.has_empty_queue, "an empty queue")
