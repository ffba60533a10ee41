from __future__ import annotations

import pytest

from mailworker.config.nearest import did_you_mean
from mailworker.errors import ConfigError
from tests.config.conftest import Load

KNOWN = ("listen", "ssl_certificate", "ssl_certificate_key", "timeout", "proxy_timeout")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lisen", "listen"),
        ("Listen", "listen"),
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "events {}\nmail {\n server {\n lisen 143;\n }\n}",
            'unknown directive "lisen" in {path}:4, did you mean "listen"?',
        ),
        ("worker_proceses 2;", 'unknown directive "worker_proceses" in {path}:1, did you mean "worker_processes"?'),
        ("events { multiaccept on; }", 'unknown directive "multiaccept" in {path}:1, did you mean "multi_accept"?'),
        ("timout 1s;", 'unknown directive "timout" in {path}:1, did you mean "timeout"?'),
        ("location / {}", 'unknown directive "location" in {path}:1'),
    ],
)  # fmt: skip
def test_an_unknown_directive_leads_to_one_that_may_stand_there(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    path = str(caught.value.where).rpartition(":")[0]
    assert str(caught.value) == message.format(path=path)
