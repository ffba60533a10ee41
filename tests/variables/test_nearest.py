from __future__ import annotations

import pytest

from mailworker.variables.nearest import did_you_mean

KNOWN = ("listen", "ssl_certificate", "ssl_certificate_key", "timeout", "proxy_timeout")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lisen", "listen"),
        ("Listen", "listen"),
        ("LISTEN", "listen"),
        ("PROXY_TIMOUT", "proxy_timeout"),
        ("ssl_certficate", "ssl_certificate"),
        ("ssl_certificate_keys", "ssl_certificate_key"),
        ("timout", "timeout"),
        ("proxytimeout", "proxy_timeout"),
    ],
)
def test_a_slip_leads_to_what_was_meant(name: str, hint: str) -> None:
    assert did_you_mean(name, KNOWN) == f', did you mean "{hint}"?'


@pytest.mark.parametrize("name", ["", "x", "rtmp", "gzip", "proxy_set_header"])
def test_what_is_like_nothing_leads_nowhere(name: str) -> None:
    assert did_you_mean(name, KNOWN) == ""
