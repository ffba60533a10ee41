from __future__ import annotations

import pytest

from mailworker.config.resolver import ResolverSettings
from mailworker.errors import ConfigError
from mailworker.model import InetAddress
from tests.config.conftest import LoadServer

SERVER = (InetAddress("127.0.0.1", 53),)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("off", ResolverSettings()),
        ("127.0.0.1", ResolverSettings(SERVER)),
        ("[::1]:99 127.0.0.1", ResolverSettings((InetAddress("::1", 99), *SERVER))),
        ("127.0.0.1 valid=1m", ResolverSettings(SERVER, valid=60.0)),
        ("ipv4=off 127.0.0.1 ipv6=on", ResolverSettings(SERVER, ipv4=False)),
        ("127.0.0.1; resolver_timeout 2s", ResolverSettings(SERVER, timeout=2.0)),
    ],
)
def test_name_servers_and_parameters_stand_in_any_order(
    load_server: LoadServer, words: str, settings: ResolverSettings
) -> None:
    assert load_server(f"resolver {words};").resolver == settings


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("127.0.0.1 valid=", "invalid parameter: valid="),
        ("127.0.0.1 ipv6=maybe", "invalid parameter: ipv6=maybe"),
        ("ipv6=off", "no name servers defined"),
        ("127.0.0.1:0", 'invalid port in resolver "127.0.0.1:0"'),
    ],
)
def test_what_cannot_be_asked_is_refused(load_server: LoadServer, words: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"resolver {words};")
    assert caught.value.message == message
