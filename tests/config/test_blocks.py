from __future__ import annotations

import gc

import pytest

from mailworker.config.drafts import Scope
from mailworker.errors import ConfigError
from tests.config.conftest import Load


@pytest.mark.parametrize("block", ["http", "stream"])
def test_http_and_stream_are_left_to_nginx(load_text: Load, block: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_text(f"events {{}}\n{block} {{\n server {{ listen 80; }}\n}}\nmail {{}}")
    message = str(error.value)
    assert message.startswith(f'"{block}" is not served here in ')
    assert "\n" not in message
    assert '/mailworker.conf:2, only "mail" is: leave this block in a file for nginx, ' in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events {} http;", 'directive "http" has no opening "{"'),
        ("events {} mail { stream {} }", '"stream" directive is not allowed here'),
        ("events {} rtmp {}", 'unknown directive "rtmp"'),
    ],
)
def test_what_nginx_says_of_a_misplaced_block_is_said_first(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        load_text(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mail {} mail {}", '"mail" directive is duplicate'),
        ("events {} mail { server { } }", 'no "listen" is defined for server'),
        ("events {} server { listen 143; }", '"server" directive is not allowed here'),
    ],
)
def test_blocks_stand_once_where_they_belong_and_have_what_they_need(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        load_text(text)


_SHARED = (
    *("dialogue", "source", "proxy", "real_ip_from", "access", "policy", "limit_auth", "limit_conn", "variables"),
    "access_log",
)


@pytest.mark.parametrize(
    ("own", "differs"),
    [
        ("", ()),
        ("server_name b.test; starttls on; ssl_certificate c; ssl_certificate_key k;", ()),
        ("timeout 5s; max_errors 2; status_zone b;", ()),
        ("set $place b;", ("variables",)),
        ("auth_http 127.0.0.1:2; auth_http_header X $nothing;", ("source",)),
        ("proxy_timeout 5s;", ("proxy",)),
        ("proxy_ssl on;", ("proxy",)),
        ("set_real_ip_from 192.0.2.0/24;", ("real_ip_from",)),
        ("deny all;", ("access",)),
        ("imap_capabilities B;", ("dialogue",)),
        ("access_log off;", ("access_log",)),
        ("log_null_sessions on;", ("access_log",)),
        ("limit_auth_dry_run on;", ("limit_auth",)),
        ("limit_conn_dry_run on;", ("limit_conn",)),
        ("protocol pop3;", ("dialogue",)),
    ],
)
def test_servers_share_what_they_inherit_and_differ_where_a_block_says_so(
    load_text: Load, own: str, differs: tuple[str, ...]
) -> None:
    blocks = f"server {{ listen 1143; protocol imap; }} server {{ listen 1144; protocol imap; {own} }}"
    settings = load_text(f"events {{}} mail {{ auth_http 127.0.0.1:1; access_log a.log; {blocks} }}")
    first, second = settings.servers
    assert tuple(name for name in _SHARED if getattr(first, name) != getattr(second, name)) == differs
    if not differs:
        assert all(getattr(first, name) is getattr(second, name) for name in _SHARED)


def test_an_inherited_error_is_that_of_the_first_server_that_inherits_it(load_text: Load) -> None:
    blocks = (
        "server { listen 1143; protocol imap; auth_http 127.0.0.1:1; }\n"
        + 2 * "server { listen 1144; protocol imap; }\n"
    )
    with pytest.raises(ConfigError, match=r'^no "auth_http" is defined for server in .*:2$'):
        load_text(f"events {{}} mail {{ {blocks} }}")


def test_servers_with_equal_settings_of_tls_share_them(load_text: Load) -> None:
    blocks = "".join(
        f"server {{ listen {port} ssl; protocol imap; ssl_protocols {version}; }}"
        for port, version in ((1143, "TLSv1.3"), (1144, "TLSv1.3"), (1145, "TLSv1.2"))
    )
    mail = "auth_http 127.0.0.1:1; ssl_certificate c; ssl_certificate_key k;"
    first, equal, other = load_text(f"events {{}} mail {{ {mail} {blocks} }}").servers
    assert first.ssl is equal.ssl is not None
    assert first.ssl != other.ssl


def test_what_was_read_is_freed_without_the_collector(load_text: Load) -> None:
    """A reload of thousands of servers would keep its drafts until the collector looked at all objects."""

    def scopes() -> int:
        return sum(isinstance(each, Scope) for each in gc.get_objects())

    gc.collect()
    before = scopes()
    gc.disable()
    try:
        servers = "server { listen 1; protocol imap; } server { listen 2; protocol pop3; }"
        settings = load_text(f"events {{ }} mail {{ auth_http 127.0.0.1:9; {servers} }}")
        assert (len(settings.servers), scopes()) == (2, before)
    finally:
        gc.enable()
