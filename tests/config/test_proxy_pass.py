"""`proxy_pass`: what it takes, and what it refuses since clients could choose it."""

from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from mailworker.model import InetAddress, UnixAddress
from tests.config.blocks import servers
from tests.config.conftest import Load


@pytest.mark.parametrize(
    ("word", "addresses"),
    [
        ("192.0.2.1:143", (InetAddress("192.0.2.1", 143),)),
        ("[::1]:143", (InetAddress("::1", 143),)),
        ("unix:/run/imap", (UnixAddress("/run/imap"),)),
        ("localhost:143", (InetAddress("127.0.0.1", 143), InetAddress("::1", 143))),
    ],
)
def test_proxy_pass_takes_addresses_and_hosts(load_text: Load, word: str, addresses: tuple[object, ...]) -> None:
    (server,) = servers(load_text, f"proxy_pass {word};", "")
    assert server.proxy.backend is not None
    assert server.proxy.backend.addresses == addresses


STORES = """
map $remote_user $store { default 192.0.2.1:143; a [::1]:143; b unix:/run/b; c ""; }
geo $inside { default 192.0.2.2; 10.0.0.0/8 192.0.2.3; }
split_clients $remote_user $half { 50% $store; * 192.0.2.4:143; }
map $remote_user $named { default store.example.com:143; }
map $remote_user $echo { default 192.0.2.1:143; ~^(?<host>.*)@ $host:143; }
map $remote_user $bad { default 192.0.2.1; }
"""


@pytest.mark.parametrize(
    "directives", ["proxy_pass $store;", "proxy_pass ${inside}:143;", "set $x $store; proxy_pass $x;"]
)
def test_proxy_pass_takes_what_the_configuration_says(load_text: Load, directives: str) -> None:
    (server,) = servers(load_text, STORES, directives)
    assert server.proxy.backend is not None
    assert server.proxy.backend.addresses == ()


@pytest.mark.parametrize(
    ("directives", "message"),
    [
        *(
            (
                f"{set_} proxy_pass {word};",
                f'variable "{name}" in "proxy_pass" may contain text of clients',
            )
            for set_, word, name in (
                ("", "$remote_user", "remote_user"),
                ("", "$remote_user_domain:143", "remote_user_domain"),
                ("", "$ssl_server_name:143", "ssl_server_name"),
                ("", "$echo", "echo"),
                ("set $x $auth_user;", "$x:143", "x"),
                ("", "$proxy_protocol_server_addr:143", "proxy_protocol_server_addr"),
            )
        ),
        ("proxy_pass $nosuch;", 'unknown "nosuch" variable'),
        ("proxy_pass $bad;", 'no port in upstream "192.0.2.1"'),
        ("proxy_pass $half;", 'invalid host in upstream "\\$store"|no port in upstream "\\$store"'),
        ("proxy_pass $named;", "no resolver defined to resolve store.example.com"),
        ("proxy_pass 192.0.2.1;", 'no port in upstream "192.0.2.1"'),
        ("proxy_pass nosuch.example.com:143;", 'host not found in upstream "nosuch.example.com:143"'),
        ("proxy_pass $store; proxy_pass $store;", '"proxy_pass" directive is duplicate'),
        ("proxy_pass;", 'invalid number of arguments in "proxy_pass" directive'),
    ],
)
def test_proxy_pass_refuses_what_clients_say_and_what_is_no_backend(
    load_text: Load, directives: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        servers(load_text, STORES, directives)


def test_with_a_resolver_a_variable_may_come_to_a_name(load_text: Load) -> None:
    (server,) = servers(load_text, STORES, "resolver 192.0.2.53; proxy_pass $named;")
    assert server.proxy.backend is not None
