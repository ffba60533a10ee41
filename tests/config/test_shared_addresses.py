from __future__ import annotations

import pytest

from mailworker.config.listen import plan_sockets
from mailworker.config.settings import Settings
from mailworker.errors import ConfigError
from tests.config.conftest import Load

UNUSED = "only the default server is used on {}, as clients name a server by TLS alone"
PAIR = "ssl_certificate a; ssl_certificate_key a;"


def load(load_text: Load, *servers: str, protocol: str = "imap") -> Settings:
    blocks = "\n".join(f"server {{ protocol {protocol}; {server} }}" for server in servers)
    return load_text(f"events {{}} mail {{ auth_http 127.0.0.1; {PAIR}\n{blocks}\n}}")


@pytest.mark.parametrize(
    ("servers", "default"),
    [
        (["listen 127.0.0.1:1;", "listen 127.0.0.1:1;"], 0),
        (["listen 127.0.0.1:1;", "listen 127.0.0.1:1 default_server;"], 1),
        (["listen 127.0.0.1:1 default_server;", "listen 127.0.0.1:1;"], 0),
    ],
)
def test_one_server_is_the_default_one(load_text: Load, servers: list[str], default: int) -> None:
    settings = load(load_text, *servers)
    ((endpoint,),) = plan_sockets(server.listens for server in settings.servers)
    assert (endpoint.server, endpoint.servers) == (default, (0, 1))


def test_options_are_those_of_all(load_text: Load) -> None:
    settings = load(
        load_text, "listen 127.0.0.1:1 ssl;", "listen 127.0.0.1:1 backlog=7;", "listen 127.0.0.1:1 proxy_protocol;"
    )
    for server in settings.servers:
        (listen,) = server.listens
        assert (listen.ssl, listen.backlog, listen.proxy_protocol, listen.bind) == (True, 7, True, True)
        assert server.ssl is not None


def test_ssl_on_is_for_all_of_an_address(load_text: Load) -> None:
    settings = load(load_text, "listen 127.0.0.1:1; ssl on;", "listen 127.0.0.1:1;", "listen 127.0.0.1:2;")
    assert [server.listens[0].ssl for server in settings.servers] == [True, True, False]
    assert [server.ssl is not None for server in settings.servers] == [True, True, False]


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        (["listen 127.0.0.1:1; listen 127.0.0.1:1;"], 'duplicate "127.0.0.1:1" address and port pair in '),
        (["listen 127.0.0.1:1 bind;", "listen 127.0.0.1:1 bind;"], "duplicate listen options for 127.0.0.1:1 in "),
        (
            ["listen 127.0.0.1:1 default_server;", "listen 127.0.0.1:1 default_server;"],
            "a duplicate default server for 127.0.0.1:1 in ",
        ),
        (["listen 127.0.0.1:1; server_name a;", "listen 127.0.0.1:1; server_name b*;"],
         'invalid server name or wildcard "b*" on 127.0.0.1:1'),
        (["listen 127.0.0.1:1;", "protocol pop3; listen 127.0.0.1:1;"],
         'servers of several protocols share 127.0.0.1:1, which clients tell apart on "listen ... ssl" alone in '),
        (["listen 127.0.0.1:1 ssl; ssl_verify_client on;", "listen 127.0.0.1:1;"], "no ssl_client_certificate"),
    ],
)  # fmt: skip
def test_what_servers_cannot_share_is_refused(load_text: Load, servers: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(load_text, *servers)
    assert message in str(caught.value)


def test_who_shares_an_address_with_tls_needs_a_certificate(load_text: Load) -> None:
    text = f"server {{ listen 993 ssl; {PAIR} }}\nserver {{\nlisten 993; }}"
    with pytest.raises(ConfigError) as caught:
        load_text(f"events {{}} mail {{ auth_http 127.0.0.1;\n{text}\n}}")
    assert 'no "ssl_certificate" is defined for the "listen ... ssl" directive in ' in str(caught.value)


def test_a_server_that_rejects_handshakes_needs_none(load_text: Load) -> None:
    text = "events {} mail { auth_http 127.0.0.1; server { listen 993 ssl; ssl_reject_handshake on; } }"
    (server,) = load_text(text).servers
    assert server.ssl is not None
    assert server.ssl.reject_handshake


def test_names_of_two_servers_conflict_on_each_address(load_text: Load) -> None:
    settings = load(
        load_text,
        "listen 127.0.0.1:1 ssl; listen 127.0.0.1:2; server_name a .b *.c;",
        "listen 127.0.0.1:1; listen 127.0.0.1:2; server_name A b *.c d;",
        "protocol pop3; listen 127.0.0.1:1; server_name a;",
        "listen 127.0.0.1:3; server_name a;",
    )
    assert [text for _, text in settings.warnings] == [
        f'conflicting server name "{name}" on 127.0.0.1:{port}, ignored'
        for port in (1, 2)
        for name in ("a", "b", "*.c")
    ] + [UNUSED.format("127.0.0.1:2")]


def test_servers_without_names_conflict(load_text: Load) -> None:
    settings = load(load_text, "listen 127.0.0.1:1 ssl;", "listen 127.0.0.1:1;")
    assert [text for _, text in settings.warnings] == ['conflicting server name "" on 127.0.0.1:1, ignored']


@pytest.mark.parametrize(
    ("default", "warned"), [("", True), ("starttls off;", True), ("starttls on;", False), ("starttls only;", False)]
)
def test_without_tls_no_client_reaches_another_server(load_text: Load, default: str, *, warned: bool) -> None:
    settings = load(
        load_text,
        "listen 127.0.0.1:1; server_name a; starttls on;",
        f"listen 127.0.0.1:1 default_server; server_name b; {default}",
    )
    assert [text for _, text in settings.warnings] == [UNUSED.format("127.0.0.1:1")] * warned
