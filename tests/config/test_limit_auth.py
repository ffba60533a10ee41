"""`limit_auth` and what goes with it: the grammar of nginx's limit_req."""

from __future__ import annotations

from ipaddress import ip_network
from math import inf

import pytest

from mailworker.config.limit_auth import AuthDelay, LimitAuth, LimitAuthSettings, LimitZone
from mailworker.errors import ConfigError
from mailworker.model import Level
from tests.config.conftest import Load

ZONE = "limit_auth_zone $remote_addr zone=fail:1m rate=6r/m;"


def load(load_text: Load, mail: str, server: str = "", listen: str = "143") -> LimitAuthSettings:
    text = f"events {{}} mail {{ auth_http 127.0.0.1; {mail} server {{ listen {listen}; {server} }} }}"
    return load_text(text).servers[0].limit_auth


def zone(load_text: Load, parameters: str, key: str = "$remote_addr") -> LimitZone:
    found = load(load_text, f"limit_auth_zone {key} {parameters}; limit_auth zone=fail;")
    return found.limits[0].zone


def test_without_any_nothing_is_limited(load_text: Load) -> None:
    assert load(load_text, "") == LimitAuthSettings()


@pytest.mark.parametrize(
    ("rate", "gain", "period"),
    [
        ("", 1000, 1000),
        ("rate=5", 5000, 1000),
        ("rate=2r/s", 2000, 1000),
        ("rate=1r/m", 16, 1000),
        ("rate=6r/m", 100, 1000),
        ("rate=90r/m", 1500, 1000),
        ("rate=3r/h", 3, 3600),
    ],
)
def test_rates_are_those_of_nginx_and_exact_per_hour(load_text: Load, rate: str, gain: int, period: int) -> None:
    found = zone(load_text, f"zone=fail:1m {rate}")
    assert (found.gain, found.period) == (gain, period)


def test_a_zone_has_a_key_a_name_and_a_size(load_text: Load) -> None:
    found = zone(load_text, "rate=6r/m zone=fail:64k", "$remote_addr$remote_user")
    assert (found.zone.name, found.zone.size, found.zone.use) == ("fail", 65536, "limit_auth_zone")
    assert found.zone.words == ("$remote_addr$remote_user",)
    assert [*found.key.names] == ["remote_addr", "remote_user"]


@pytest.mark.parametrize(
    ("words", "burst", "delay", "counts_all", "ban"),
    [
        ("", 0, 0, False, 0),
        ("burst=5", 5000, 0, False, 0),
        ("burst=5 delay=2", 5000, 2000, False, 0),
        ("burst=5 nodelay", 5000, None, False, 0),
        ("count=all", 0, 0, True, 0),
        ("count=failure ban=15m", 0, 0, False, 900),
        ("ban=500ms", 0, 0, False, 0.5),
    ],
)
def test_a_limit_has_parameters_in_any_order(
    load_text: Load, words: str, burst: int, delay: int | None, counts_all: bool, ban: float
) -> None:
    for text in (f"zone=fail {words}", f"{words} zone=fail"):
        (found,) = load(load_text, f"limit_auth {text}; {ZONE}").limits
        assert found == LimitAuth(found.zone, burst, delay, counts_all, ban)


def test_the_rest_has_nginx_s_forms(load_text: Load) -> None:
    found = load(
        load_text,
        f"{ZONE} limit_prefix 24 48;",
        "limit_auth_exempt 10.0.0.0/8 ::1; limit_auth_exempt unix:;"
        "limit_auth_dry_run on; limit_auth_log_level notice; auth_delay 2s max=15s zone=fail;",
    )
    assert found.exempt == (ip_network("10.0.0.0/8"), ip_network("::1"), "unix:")
    assert (found.dry_run, found.log_level, found.prefix) == (True, Level.NOTICE, (24, 48))
    assert found.delay is not None
    assert (found.delay.seconds, found.delay.most) == (2.0, 15.0)
    assert found.zones == (found.delay.zone,)


def test_a_delay_needs_no_zone_and_may_be_none(load_text: Load) -> None:
    assert load(load_text, "auth_delay 1500ms;").delay == AuthDelay(1.5, inf)
    assert load(load_text, "auth_delay 2s;", "auth_delay 0;").delay is None


def test_a_server_with_limits_of_its_own_inherits_none(load_text: Load) -> None:
    outside = f"{ZONE} limit_auth_zone $remote_user zone=user:1m; limit_auth zone=fail; limit_auth zone=user;"
    assert [limit.zone.name for limit in load(load_text, outside).limits] == ["fail", "user"]
    assert [limit.zone.name for limit in load(load_text, outside, "limit_auth zone=user;").limits] == ["user"]


@pytest.mark.parametrize(
    ("mail", "message"),
    [
        ("limit_auth zone=fail;", 'zero size shared memory zone "fail"'),
        ("auth_delay 2s zone=fail;", 'zero size shared memory zone "fail"'),
        ("limit_auth_zone $x zone=fail:1m; limit_auth zone=fail;", 'unknown "x" variable'),
        ("limit_auth_zone $x zone=fail:1m;", 'unknown "x" variable'),
        ("limit_auth_zone $remote_addr rate=1r/s;", '"limit_auth_zone" must have "zone" parameter'),
        ("limit_auth_zone $remote_addr zone=:1m;", '"limit_auth_zone" must have "zone" parameter'),
        ("limit_auth_zone $remote_addr zone=fail;", 'invalid zone size "zone=fail"'),
        ("limit_auth_zone $remote_addr zone=fail:x;", 'invalid zone size "zone=fail:x"'),
        ("limit_auth_zone $remote_addr zone=fail:1k;", 'zone "zone=fail:1k" is too small'),
        ("limit_auth_zone $remote_addr zone=fail:1m rate=0r/s;", 'invalid rate "rate=0r/s"'),
        ("limit_auth_zone $remote_addr zone=fail:1m rate=1r/d;", 'invalid rate "rate=1r/d"'),
        ("limit_auth_zone $remote_addr zone=fail:1m rate=-1r/s;", 'invalid rate "rate=-1r/s"'),
        ("limit_auth_zone $remote_addr zone=fail:1m rate=;", 'invalid rate "rate="'),
        ("limit_auth_zone $remote_addr zone=fail:1m rate=9999999;", 'invalid rate "rate=9999999"'),
        ("limit_auth_zone $remote_addr zone=fail:1m sync;", 'invalid parameter "sync"'),
        (f"{ZONE} {ZONE}", 'limit_auth_zone "fail" is already bound to key "$remote_addr"'),
        (f"{ZONE} {ZONE.replace('1m', '2m')}", 'the size 2097152 of shared memory zone "fail" conflicts'),
        ("limit_auth burst=1;", '"limit_auth" must have "zone" parameter'),
        (f"{ZONE} limit_auth zone=fail burst=0;", 'invalid burst value "burst=0"'),
        (f"{ZONE} limit_auth zone=fail burst=4001;", 'invalid burst value "burst=4001", it must be between 1 and 4000'),
        (f"{ZONE} limit_auth zone=fail delay=x;", 'invalid delay value "delay=x"'),
        (f"{ZONE} limit_auth zone=fail ban=0;", 'invalid parameter "ban=0"'),
        (f"{ZONE} limit_auth zone=fail count=none;", 'invalid parameter "count=none"'),
        (f"{ZONE} limit_auth zone=fail; limit_auth zone=fail;", '"limit_auth" directive is duplicate'),
        ("limit_auth_exempt example;", 'invalid parameter "example"'),
        ("limit_auth_dry_run x;", 'invalid value "x" in "limit_auth_dry_run" directive, it must be "on" or "off"'),
        ("limit_auth_log_level debug;", 'invalid value "debug"'),
        ("limit_prefix 33 64;", '"limit_prefix" directive invalid value'),
        ("limit_prefix 32 0;", '"limit_prefix" directive invalid value'),
        ("auth_delay x;", '"auth_delay" directive invalid value'),
        ("auth_delay 2s max=1s zone=fail;", '"max" is less than the delay in "auth_delay"'),
        ("auth_delay 2s max=15s;", '"max" needs "zone" in "auth_delay"'),
        ("auth_delay 2s every=1s;", 'invalid parameter "every=1s"'),
        ("auth_delay 1s; auth_delay 1s;", '"auth_delay" directive is duplicate'),
    ],
)
def test_what_will_not_do_is_refused(load_text: Load, mail: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(load_text, mail)
    assert message in str(caught.value)


def test_a_zone_of_another_use_is_refused(load_text: Load) -> None:
    with pytest.raises(ConfigError, match='"fail" is already declared for a different use'):
        load(load_text, f"{ZONE} ssl_session_cache shared:fail:1m;")


BALANCED = '"limit_auth" counts all clients behind a balancer as one without "set_real_ip_from"'


@pytest.mark.parametrize(
    ("key", "listen", "server", "warned"),
    [
        ("$remote_addr", "143 proxy_protocol", "", True),
        ("$binary_remote_prefix", "143 proxy_protocol", "", True),
        ("$remote_user", "143 proxy_protocol", "", False),
        ("$proxy_protocol_addr", "143 proxy_protocol", "", False),
        ("$remote_addr", "143 proxy_protocol", "set_real_ip_from 10.0.0.1;", False),
        ("$remote_addr", "143", "", False),
    ],
)
def test_a_balancer_that_is_not_believed_is_warned_of(
    load_text: Load, key: str, listen: str, server: str, warned: bool
) -> None:
    text = (
        f"events {{}} mail {{ auth_http 127.0.0.1; limit_auth_zone {key} zone=fail:1m; limit_auth zone=fail;"
        f"server {{ listen {listen}; {server} }} }}"
    )
    warnings = [message for _, message in load_text(text).warnings]
    assert any(BALANCED in message for message in warnings) is warned
