"""The `mail` block: values, defaults, inheritance, and checks in their order."""

from __future__ import annotations

import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from mailworker.config.listen import Keepalive, Listen
from mailworker.config.logs import FileLog, StderrLog
from mailworker.errors import ConfigError
from mailworker.model import AuthMethod, InetAddress, Level, ProxyProtocol, UnixAddress, XclientGuard
from tests.config.conftest import Load, LoadServer, source_of

PAGE = 4096


def test_defaults_are_nginx_s(load_server: LoadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Mail.Example.COM")
    server = load_server("")
    assert (server.protocol, server.server_name, server.ssl) == ("imap", b"mail.example.com", None)
    assert (server.timeout, server.max_errors, server.max_commands, server.real_ip_from) == (60.0, 5, 1000, ())
    assert (server.resolver.servers, server.resolver.timeout, server.deny_reply) == ((), 30.0, False)
    assert server.listens == (Listen(InetAddress("0.0.0.0", 143)),)
    assert (source_of(server).uri, source_of(server).timeout, source_of(server).headers) == (b"/", 60.0, ())
    assert (server.proxy.timeout, server.proxy.xclient, server.proxy.proxy_protocol) == (
        86400.0,
        True,
        ProxyProtocol.OFF,
    )
    assert server.proxy.xclient_guard is XclientGuard.ANONYMOUS


@pytest.mark.parametrize(
    ("protocol", "auth", "capabilities"),
    [
        ("imap", AuthMethod.PLAIN, (b"IMAP4", b"IMAP4rev1", b"UIDPLUS")),
        ("pop3", AuthMethod.PLAIN | AuthMethod.LOGIN, (b"TOP", b"USER", b"UIDL")),
        ("smtp", AuthMethod.PLAIN | AuthMethod.LOGIN, ()),
    ],
)
def test_dialogue_defaults(
    load_server: LoadServer, protocol: str, auth: AuthMethod, capabilities: tuple[bytes, ...]
) -> None:
    dialogue = load_server(f"protocol {protocol};").dialogue
    assert (dialogue.auth, dialogue.capabilities, dialogue.greeting_delay) == (auth, capabilities, 0.0)
    assert dialogue.client_buffer >= PAGE


def test_values_of_every_module_are_taken(load_server: LoadServer) -> None:
    server = load_server(
        """
        protocol smtp; timeout 5s; server_name mx; max_errors 0; max_commands 7; deny_reply on;
        resolver 127.0.0.1 [::1]:99 valid=1m ipv6=off;
        resolver_timeout 2s; smtp_auth cram-md5 none; smtp_auth EXTERNAL; smtp_capabilities A 'B 1';
        smtp_capabilities A; smtp_client_buffer 8k; smtp_greeting_delay 100ms;
        auth_http http://localhost:81/a; auth_http unix:/run/a:/b;
        auth_http_timeout 3s; auth_http_header X a; auth_http_header X b; auth_http_pass_client_cert on;
        auth_http_keepalive 8; auth_http_authzid on; proxy on; proxy_socket_keepalive on;
        proxy_buffer 16k; proxy_timeout 1h; proxy_pass_error_message on; xclient off; proxy_smtp_auth on;
        proxy_smtp_xclient_guard all; proxy_protocol V2; set_real_ip_from 10.0.0.0/8; set_real_ip_from unix:;
        error_log stderr info;
        """
    )
    assert (server.timeout, server.server_name, server.max_errors, server.max_commands) == (5.0, b"mx", 0, 7)
    assert server.deny_reply
    assert server.resolver.servers == (InetAddress("127.0.0.1", 53), InetAddress("::1", 99))
    assert (server.resolver.valid, server.resolver.ipv6, server.resolver.timeout) == (60.0, False, 2.0)
    assert server.dialogue.auth == AuthMethod.CRAM_MD5 | AuthMethod.NONE | AuthMethod.EXTERNAL
    assert server.dialogue.capabilities == (b"A", b"B 1", b"A")
    assert (server.dialogue.client_buffer, server.dialogue.greeting_delay) == (8192, 0.1)
    assert (source_of(server).address, source_of(server).host) == (UnixAddress("/run/a"), b"localhost")
    assert (source_of(server).uri, source_of(server).timeout) == (b"/b", 3.0)
    assert source_of(server).headers == ((b"X", b"a"), (b"X", b"b"))
    assert (source_of(server).pass_client_cert, source_of(server).keepalive) == (True, 8)
    assert source_of(server).authzid
    assert (server.proxy.buffer, server.proxy.timeout, server.proxy.pass_error_message) == (16384, 3600.0, True)
    assert (server.proxy.xclient, server.proxy.smtp_auth, server.proxy.proxy_protocol) == (
        False,
        True,
        ProxyProtocol.V2,
    )
    assert server.proxy.socket_keepalive

    assert server.proxy.xclient_guard is XclientGuard.ALL
    assert server.real_ip_from == (ip_network("10.0.0.0/8"), "unix:")
    assert server.error_log == (StderrLog(Level.INFO),)


def test_what_nginx_does_not_have_for_imap_and_pop3(load_server: LoadServer) -> None:
    assert not load_server("protocol imap;").dialogue.greeting_capabilities
    assert load_server("protocol imap; imap_greeting_capabilities on;").dialogue.greeting_capabilities
    assert load_server("protocol pop3;").dialogue.client_buffer == 16384
    assert load_server("protocol pop3; pop3_client_buffer 1k;").dialogue.client_buffer == 1024
    assert not source_of(load_server("protocol pop3;")).authzid


@pytest.mark.parametrize(
    ("directive", "complaint"),
    [
        ("pop3_client_buffer 1x", '"pop3_client_buffer" directive invalid value'),
        ("pop3_client_buffer 1k; pop3_client_buffer 2k", '"pop3_client_buffer" directive is duplicate'),
        ("imap_greeting_capabilities yes", 'invalid value "yes" in "imap_greeting_capabilities" directive'),
        ("auth_http_authzid 1", 'invalid value "1" in "auth_http_authzid" directive'),
    ],
)
def test_what_nginx_does_not_have_is_checked_as_nginx_would(
    load_server: LoadServer, directive: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_server(f"protocol imap; {directive};")


def test_a_server_inherits_value_by_value_and_lists_as_a_whole(load_text: Load) -> None:
    settings = load_text(
        """
        events {} error_log /main.log;
        mail {
            auth_http 127.0.0.1; timeout 1s; server_name outer; imap_capabilities A B; imap_auth plain login;
            auth_http_header X 1; auth_http_header Y 2; resolver 127.0.0.1; set_real_ip_from 10.0.0.1;
            server { listen 143; timeout 2s; imap_capabilities C; resolver off; error_log /own.log warn; }
            server { listen 144; protocol imap; server_name ""; auth_http_header Z 3; }
        }
        """
    )
    first, second = settings.servers
    assert (first.timeout, first.server_name, first.dialogue.capabilities) == (2.0, b"outer", (b"C",))
    assert (first.resolver.servers, first.error_log) == ((), (FileLog(Path("/own.log"), Level.WARN),))
    assert source_of(first).headers == ((b"X", b"1"), (b"Y", b"2"))
    assert (second.timeout, second.dialogue.capabilities) == (1.0, (b"A", b"B"))
    assert second.server_name not in (b"", b"outer")
    assert source_of(second).headers == ((b"Z", b"3"),)
    assert second.error_log == settings.core.error_log == (FileLog(Path("/main.log"), Level.ERROR),)
    assert first.dialogue.auth == second.dialogue.auth == AuthMethod.PLAIN | AuthMethod.LOGIN


def test_an_error_log_after_the_mail_block_serves_its_servers(load_text: Load) -> None:
    (server,) = load_text("events {} mail { auth_http 127.0.0.1; server { listen 143; } } error_log /x;").servers
    assert server.error_log == (FileLog(Path("/x"), Level.ERROR),)


@pytest.mark.parametrize(
    ("ports", "protocol"),
    [
        ("listen 993;", "imap"),
        ("listen 110; listen 143;", "pop3"),
        ("listen 9999; listen 587;", "smtp"),
        ("listen 995-996;", "pop3"),
        ("protocol smtp; listen 143;", "smtp"),
        ("listen 143; protocol pop3;", "pop3"),
        ("protocol smtp; protocol imap; listen 1;", "imap"),
    ],
)
def test_the_first_known_port_tells_the_protocol(load_text: Load, ports: str, protocol: str) -> None:
    (server,) = load_text(f"events {{}} mail {{ auth_http 127.0.0.1; server {{ {ports} }} }}").servers
    assert server.protocol == protocol


@pytest.mark.parametrize(
    ("parameters", "listen"),
    [
        ("", Listen(InetAddress("0.0.0.0", 25))),
        ("proxy_protocol", Listen(InetAddress("0.0.0.0", 25), proxy_protocol=True)),
        ("bind", Listen(InetAddress("0.0.0.0", 25), bind=True)),
        ("backlog=7", Listen(InetAddress("0.0.0.0", 25), bind=True, backlog=7)),
        ("rcvbuf=1k sndbuf=2", Listen(InetAddress("0.0.0.0", 25), bind=True, rcvbuf=1024, sndbuf=2)),
        ("ipv6only=off", Listen(InetAddress("0.0.0.0", 25), bind=True, ipv6only=False)),
        ("multipath", Listen(InetAddress("0.0.0.0", 25), bind=True, multipath=True)),
        ("reuseport", Listen(InetAddress("0.0.0.0", 25), bind=True, reuseport=True)),
        ("so_keepalive=off", Listen(InetAddress("0.0.0.0", 25), bind=True, so_keepalive=Keepalive(False))),
        (
            "so_keepalive=30m::10",
            Listen(InetAddress("0.0.0.0", 25), bind=True, so_keepalive=Keepalive(True, 1800, None, 10)),
        ),
    ],
)
def test_listen_parameters(load_text: Load, parameters: str, listen: Listen) -> None:
    (server,) = load_text(f"events {{}} mail {{ auth_http 127.0.0.1; server {{ listen 25 {parameters}; }} }}").servers
    assert server.listens == (listen,)


def test_a_name_listens_on_all_its_addresses(load_text: Load) -> None:
    (server,) = load_text("events {} mail { auth_http 127.0.0.1; server { listen localhost:25 backlog=9; } }").servers
    assert [(str(listen.address), listen.backlog) for listen in server.listens] == [
        ("127.0.0.1:25", 9),
        ("[::1]:25", 9),
    ]


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("protocol IMAP;", 'unknown protocol "IMAP"'),
        ("listen 1 x;", 'invalid parameter "x"'),
        ("listen 1 backlog=0;", 'invalid backlog "backlog=0"'),
        ("listen 1 rcvbuf=x;", 'invalid rcvbuf "rcvbuf=x"'),
        ("listen 1 sndbuf=;", 'invalid sndbuf "sndbuf="'),
        ("listen 1 ipv6only=onn;", 'invalid ipv6only flags "onn"'),
        ("listen 1 ipv6only=yes;", 'invalid parameter "ipv6only=yes"'),
        ("listen 1 so_keepalive=::;", 'invalid so_keepalive value: "::"'),
        ("listen 0;", 'invalid port in "0" of the "listen" directive'),
        ("listen 143;", 'duplicate "0.0.0.0:143" address and port pair'),
        ("auth_http https://a;", 'invalid port in auth_http "https://a"'),
        ("auth_http http://nosuch;", 'host not found in auth_http "nosuch"'),
        ("resolver nosuch;", 'host not found in resolver "nosuch"'),
        ("resolver unix:/a;", 'invalid host in resolver "unix:/a"'),
        ("resolver 127.0.0.1 valid=x;", "invalid parameter: valid=x"),
        ("resolver 127.0.0.1 ipv4=x;", "invalid parameter: ipv4=x"),
        ("resolver valid=1s;", "no name servers defined"),
        ("resolver 127.0.0.1 ipv4=off ipv6=off;", '"ipv4" and "ipv6" cannot both be "off"'),
        ("resolver 127.0.0.1; resolver off;", '"resolver" directive is duplicate'),
        ("set_real_ip_from nosuch;", 'host not found in set_real_ip_from "nosuch"'),
        ("imap_auth apop;", 'invalid value "apop"'),
        ("proxy_buffer 1g;", '"proxy_buffer" directive invalid value'),
    ],
)
def test_bad_values_are_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(directive)
    assert caught.value.message == message


def test_meaningless_bits_and_repeated_words_are_warned_of(load_text: Load, tmp_path: Path) -> None:
    settings = load_text("events {} mail { set_real_ip_from 10.0.0.1/8;\npop3_auth plain PLAIN; }")
    assert settings.warnings == (
        (Level.WARN, f"low address bits of 10.0.0.1/8 are meaningless in {tmp_path}/mailworker.conf:1"),
        (Level.WARN, f'duplicate value "PLAIN" in {tmp_path}/mailworker.conf:2'),
    )


@pytest.mark.parametrize(
    ("block", "message", "line"),
    [
        ("server {\n}", 'no "listen" is defined for server', 2),
        ("server { listen 1; }", "unknown mail protocol for server", 2),
        ("server { listen 25; }", 'no "auth_http" is defined for server', 2),
        ("server { listen 25; }\nserver { listen 1; }", "unknown mail protocol for server", 3),
        (
            "server { listen 25; }\nserver { listen 143 ssl; }",
            'no "ssl_certificate" is defined for the "listen ... ssl" directive',
            3,
        ),
    ],
)
def test_checks_go_module_by_module(load_text: Load, tmp_path: Path, block: str, message: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(f"events {{}} mail {{\n{block} }}")
    assert (caught.value.message, caught.value.where) == (message, f"{tmp_path}/mailworker.conf:{line}")


def test_tls_settings_are_handed_over_in_order_before_a_missing_auth_http_is_told(load_text: Load) -> None:
    told: list[tuple[str, bool]] = []
    with pytest.raises(ConfigError, match='no "auth_http"'):
        load_text(
            """events {} mail { ssl_certificate a; ssl_certificate_key b;
            server { listen 993 ssl; }
            server { listen 110; auth_http 127.0.0.1; } }""",
            on_tls=lambda settings, _, protocol: told.append((protocol, settings is not None)),
        )
    assert told == [("imap", True), ("pop3", False)]


def test_a_thousand_servers_take_as_long_each_as_a_few(load_text: Load) -> None:
    server = """
    server {{
        listen 127.0.{}.{}:143; # one address each
        server_name "mail{}.example.com"; timeout 30s; proxy_pass_error_message on;
        imap_capabilities IMAP4rev1 UIDPLUS IDLE 'LITERAL+'; auth_http_header X-Server mail;
    }}"""

    def cost(count: int) -> float:
        """Seconds of CPU for so many servers."""
        servers = "".join(server.format(number // 250, number % 250 + 1, number) for number in range(count))
        text = f"events {{ worker_connections 2000; }} mail {{ auth_http 127.0.0.1; {servers} }}"
        started = time.thread_time()
        assert len(load_text(text).servers) == count
        return time.thread_time() - started

    # Quadratic growth would be 16 times. The least of two, as other processes take the caches away.
    assert min(cost(1000) for _ in range(2)) < 10 * min(cost(250) for _ in range(2))


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_oauth_is_enabled_by_name(load_server: LoadServer, protocol: str) -> None:
    server = load_server(f"protocol {protocol}; {protocol}_auth xoauth2 OAuthBearer;")
    assert server.dialogue.auth == AuthMethod.XOAUTH2 | AuthMethod.OAUTHBEARER


@pytest.mark.parametrize(
    ("directives", "guard"),
    [
        ("proxy_smtp_xclient_guard off;", XclientGuard.OFF),
        ("proxy_smtp_xclient_guard Anonymous;", XclientGuard.ANONYMOUS),
        ("proxy_smtp_xclient_guard all;", XclientGuard.ALL),
    ],
)
def test_the_guard_of_xclient_has_three_values(load_server: LoadServer, directives: str, guard: XclientGuard) -> None:
    assert load_server(f"protocol smtp; {directives}").proxy.xclient_guard is guard


@pytest.mark.parametrize(
    ("directives", "message"),
    [
        ("proxy_smtp_xclient_guard on;", 'invalid value "on"'),
        ("proxy_smtp_xclient_guard;", 'invalid number of arguments in "proxy_smtp_xclient_guard" directive'),
        (
            "proxy_smtp_xclient_guard off; proxy_smtp_xclient_guard off;",
            '"proxy_smtp_xclient_guard" directive is duplicate',
        ),
    ],
)
def test_wrong_guards_of_xclient_are_refused(load_server: LoadServer, directives: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_server(directives)
