from __future__ import annotations

import pytest

from mailworker.config.proxy import ProxySettings
from mailworker.errors import ConfigError
from mailworker.model import ProxyProtocol, Tlv
from tests.config.conftest import LoadServer


@pytest.mark.parametrize(
    ("directive", "field", "value"),
    [
        ("proxy_buffer 16k", "buffer", 16384),
        ("proxy_timeout 1h", "timeout", 3600.0),
        ("proxy_pass_error_message on", "pass_error_message", True),
        ("xclient off", "xclient", False),
        ("proxy_smtp_auth on", "smtp_auth", True),
        ("proxy_protocol on", "proxy_protocol", ProxyProtocol.V1),
        ("proxy_protocol V2", "proxy_protocol", ProxyProtocol.V2),
        ("proxy_socket_keepalive on", "socket_keepalive", True),
        ("proxy_imap_id on", "imap_id", True),
        ("proxy_pop3_xclient on", "pop3_xclient", True),
        ("proxy_sieve_xclient on", "sieve_xclient", True),
        ("proxy_pass_helo on", "pass_helo", True),
        ("proxy_pass_error_codes on", "pass_error_codes", True),
        ("xclient_fields addr port client-transport", "xclient_fields", {b"ADDR", b"PORT", b"CLIENT-TRANSPORT"}),
        ("xclient_fields login", "xclient_fields", {b"LOGIN"}),
        ("proxy_protocol_tlv ssl ssl_cn unique_id", "tlvs", Tlv.SSL | Tlv.SSL_CN | Tlv.UNIQUE_ID),
        ("proxy_protocol_tlv off", "tlvs", Tlv(0)),
    ],
)
def test_a_directive_sets_what_is_called_like_it(
    load_server: LoadServer, directive: str, field: str, value: object
) -> None:
    changed, default = load_server(f"{directive};").proxy, load_server("").proxy
    assert getattr(changed, field) == value != getattr(default, field)
    differing = {name for name in ProxySettings.__slots__ if getattr(changed, name) != getattr(default, name)}
    assert differing == {field}


def test_a_mail_proxy_always_proxies(load_server: LoadServer) -> None:
    assert load_server("proxy on;").proxy == load_server("proxy off;").proxy


@pytest.mark.parametrize(
    "directive", ["", "xclient_fields name addr login;", "xclient_fields addr; xclient_fields name login;"]
)
def test_the_fields_of_nginx_are_the_default(load_server: LoadServer, directive: str) -> None:
    assert load_server(directive).proxy.xclient_fields is None


def test_a_unique_id_is_asked_for_by_name(load_server: LoadServer) -> None:
    assert Tlv.UNIQUE_ID not in load_server("").proxy.tlvs
    assert all(each in load_server("").proxy.tlvs for each in Tlv if each is not Tlv.UNIQUE_ID)


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("xclient_fields reverse_name", 'invalid value "reverse_name"'),
        ("xclient_fields", 'invalid number of arguments in "xclient_fields" directive'),
        ("proxy_protocol_tlv crc32c", 'invalid value "crc32c"'),
        ("proxy_protocol_tlv ssl off", '"proxy_protocol_tlv" has "off" beside other values'),
        ("proxy_imap_id zimbra", 'invalid value "zimbra" in "proxy_imap_id" directive, it must be "on" or "off"'),
    ],
)
def test_other_words_are_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"{directive};")
    assert caught.value.message == message


def test_there_is_no_rate_by_default(load_server: LoadServer) -> None:
    proxy = load_server("").proxy
    assert (proxy.limit_rate, proxy.limit_rate_after, proxy.upload_rate) == (0, 0, 0)


def test_rates_are_sizes(load_server: LoadServer) -> None:
    proxy = load_server("limit_rate 10k; limit_rate_after 1m; proxy_upload_rate 5;").proxy
    assert (proxy.limit_rate, proxy.limit_rate_after, proxy.upload_rate) == (10240, 1 << 20, 5)


@pytest.mark.parametrize("directive", ["limit_rate", "limit_rate_after", "proxy_upload_rate"])
def test_a_rate_is_given_once_and_is_a_size(load_server: LoadServer, directive: str) -> None:
    with pytest.raises(ConfigError, match=f'"{directive}" directive invalid value'):
        load_server(f"{directive} fast;")
    with pytest.raises(ConfigError, match=f'"{directive}" directive is duplicate'):
        load_server(f"{directive} 1; {directive} 1;")
